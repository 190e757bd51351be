"""The store contract: guarded names."""

from __future__ import annotations

import asyncio

from aiosched.abc import Guarded, GuardStep, Session
from aiosched.clock import random_id
from aiosched.errors import ConfigurationError
from aiosched.instants import SECOND
from aiosched.testing.contract_base import ContractBase, Interleaved, everything

__all__ = ["GuardsContract"]

LONG = 60 * SECOND
SHORT = SECOND // 20
_NAMES = ("file:42", "größe|1", "a b", "{x}:{y}", "*?[]\\", "0", "n" * 200)
_POINTS = 12


async def _take(
    session: Session, name: str, token: str, ttl: int = LONG, owner: str = "me"
) -> Guarded:
    return await session.guard(GuardStep.TAKE, name, token, owner=owner, ttl=ttl)


async def _extend(session: Session, name: str, token: str, ttl: int = LONG) -> Guarded:
    return await session.guard(GuardStep.EXTEND, name, token, ttl=ttl)


async def _release(session: Session, name: str, token: str) -> Guarded:
    return await session.guard(GuardStep.RELEASE, name, token)


class GuardsContract(ContractBase):
    """A guarded name has one holder at a time, and an end at any time."""

    can_guard = True
    """Whether sessions have the optional verb ``guard``."""

    def _guards(self) -> bool:
        # A store without them says so, which one test looks at.
        return self.can_guard

    async def test_a_store_without_guards_says_so(self) -> None:
        """By an error that names the store and a remedy."""
        if self._guards():
            return
        async with self.opened() as [session]:
            said = ""
            try:
                await _take(session, "a", "t")
            except ConfigurationError as error:
                said = error.field
            assert said == "store", "it says that it keeps guards"

    async def test_one_of_many_takes_a_name(self) -> None:
        """Whatever their number, and whichever session they come by."""
        if not self._guards():
            return
        async with self.opened(3) as sessions:
            tokens = [f"t{number}" for number in range(30)]
            asked = [
                _take(sessions[number % 3], "file:42", token)
                for number, token in enumerate(tokens)
            ]
            answers = await asyncio.gather(*asked)
            winners = [
                token
                for token, answer in zip(tokens, answers, strict=True)
                if answer.claim == token
            ]
            assert len(winners) == 1
            assert {answer.claim for answer in answers} == set(winners)
            assert len({answer.fence for answer in answers}) == 1

    async def test_the_holder_is_told(self) -> None:
        """With its fence, its owner and what is left of its time."""
        if not self._guards():
            return
        async with self.opened(2) as [one, other]:
            mine = await _take(one, "a", "t1", owner="peer|1 ß")
            assert (mine.claim, mine.owner, mine.left) == ("t1", "peer|1 ß", LONG)
            assert mine.fence > 0
            seen = await _take(other, "a", "t2", owner="else")
            assert (seen.claim, seen.owner, seen.fence) == (
                "t1",
                mine.owner,
                mine.fence,
            )
            assert LONG - 30 * SECOND < seen.left <= LONG

    async def test_names_are_apart(self) -> None:
        """From each other, from other namespaces, and from jobs."""
        if not self._guards():
            return
        store = await self.make_store()
        for namespace in (f"contract-{random_id()}", f"contract-{random_id()}"):
            async with self.sessions(store, namespace) as [session]:
                for name in _NAMES:
                    assert (await _take(session, name, f"of {name}")).claim
                for name in _NAMES:
                    seen = await _take(session, name, "late")
                    assert seen.claim == f"of {name}"
                assert await everything(session) == {}

    async def test_a_name_is_free_when_its_time_is_over(self) -> None:
        """Nobody need do anything; the next fence is greater."""
        if not self._guards():
            return
        async with self.opened(2) as [one, other]:
            first = await _take(one, "a", "t1", SHORT)
            await self.advance(0.06)
            second = await _take(other, "a", "t2")
            assert second.claim == "t2"
            assert second.fence > first.fence
            # What the first still believes to hold it neither extends nor ends.
            assert (await _extend(one, "a", "t1")).claim == "t2"
            assert (await _release(one, "a", "t1")).claim == "t2"
            assert (await _take(one, "a", "t3")).claim == "t2"

    async def test_who_is_refused_does_not_prolong_it(self) -> None:
        """Nor does who takes what it holds already."""
        if not self._guards():
            return
        async with self.opened(2) as [one, other]:
            await _take(one, "a", "t1", 3 * SHORT)
            left = 3 * SHORT
            for _ in range(4):
                for session, token in ((one, "t1"), (other, "t2")):
                    seen = await _take(session, "a", token, LONG)
                    if seen.claim == "t1":
                        assert seen.left <= left
                        left = seen.left
                await self.advance(0.01)
            await self.advance(0.09)
            await self.advance(0.09)
            assert not (await _release(other, "a", "nobody")).claim

    async def test_the_holder_extends_it(self) -> None:
        """From the store's now on; the fence stays."""
        if not self._guards():
            return
        async with self.opened(2) as [one, other]:
            first = await _take(one, "a", "t1", SHORT)
            again = await _extend(one, "a", "t1", LONG)
            assert (again.claim, again.fence, again.left) == ("t1", first.fence, LONG)
            await self.advance(0.06)
            assert (await _take(other, "a", "t2")).claim == "t1"
            await _extend(one, "a", "t1", SHORT)
            await self.advance(0.06)
            assert (await _extend(one, "a", "t1")).claim == ""
            assert (await _take(other, "a", "t2")).claim == "t2"

    async def test_only_the_holder_releases_it(self) -> None:
        """And does so twice without harm to the next."""
        if not self._guards():
            return
        async with self.opened(2) as [one, other]:
            first = await _take(one, "a", "t1")
            assert (await _release(other, "a", "t2")).claim == "t1"
            assert await _release(one, "a", "t1") == Guarded()
            second = await _take(other, "a", "t2")
            assert second.fence > first.fence
            assert (await _release(one, "a", "t1")).claim == "t2"
            assert (await _extend(one, "a", "t1")).claim == "t2"

    async def test_two_takers_interleaved_at_each_await(self) -> None:
        """One of them has it, and both know who."""
        if not self._guards():
            return
        async with self.opened(2) as [one, other]:
            for point in range(_POINTS):
                name, answers = f"n{point}", list[Guarded]()

                async def second(
                    name: str = name, answers: list[Guarded] = answers
                ) -> None:
                    answers.append(await _take(other, name, "t2"))

                both = Interleaved(_take(one, name, "t1"), point, second)
                first = await both
                if not both.reached:
                    break
                assert answers[0].claim == first.claim
                assert answers[0].fence == first.fence

    async def test_a_release_interleaved_with_a_taker(self) -> None:
        """The name is either still held or taken, and never ended by mistake."""
        if not self._guards():
            return
        async with self.opened(2) as [one, other]:
            for point in range(_POINTS):
                name = f"n{point}"
                await _take(one, name, "t1")

                async def handed_on(name: str = name) -> None:
                    await _release(one, name, "t1")
                    await _take(other, name, "t2")

                both = Interleaved(_release(one, name, "t1"), point, handed_on)
                after = await both
                holder = (await _release(other, name, "nobody")).claim
                if not both.reached:
                    assert (after.claim, holder) == ("", "")
                    break
                assert holder == "t2"

    async def test_what_would_never_end_is_refused(self) -> None:
        """And so is what would be nobody's; nothing is written."""
        if not self._guards():
            return
        async with self.opened() as [session]:
            for token, ttl in (("t1", 0), ("t1", -1), ("t1", 999), ("", LONG)):
                try:
                    await _take(session, "a", token, ttl)
                except ValueError:
                    continue
                raise AssertionError(f"{token!r} for {ttl} was taken")
            assert (await _take(session, "a", "t1", 1_000)).claim == "t1"
