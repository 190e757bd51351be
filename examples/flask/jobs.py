"""What the configuration of the applications beside it names."""

from flask import current_app


def greet(name: str, times: int = 1) -> str:
    """Greet somebody, in the context of the application."""
    greeting = " ".join([f"hello {name}"] * times)
    current_app.logger.info(greeting)
    return f"{greeting} from {current_app.name}"
