"""Configuration: files with environments, variables, and jobs that are declared."""

from __future__ import annotations

from aiosched.config.building import build, declare, prepare
from aiosched.config.declared import DeclaredJob, declared_jobs
from aiosched.config.loading import Config
from aiosched.config.model import RunSettings, SchedulerSettings

__all__ = [
    "Config",
    "DeclaredJob",
    "RunSettings",
    "SchedulerSettings",
    "build",
    "declare",
    "declared_jobs",
    "prepare",
]
