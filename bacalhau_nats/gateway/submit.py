"""Write wishes down: submit, update, rerun and stop, each one compare-and-set on the job's spec.

A named job's id is derived from its name, so creating its spec is the fence between two gateways: the
loser re-reads and updates. A service or daemon may choose its own id; then an `Alias` occupies the id
that its name would have had. The alias is written first: a gateway that dies between the two leaves a
name that points at nothing, and the next submission of that name completes it.
"""

from __future__ import annotations

import logging
from uuid import uuid4

from bacalhau_nats.domain.facts import Fact, spec_key
from bacalhau_nats.domain.faults import message_of
from bacalhau_nats.domain.ids import JobID, is_full, named_job_id, token_job_id
from bacalhau_nats.domain.intake import difference, fill, normalise, same_wish, sanitise, to_spec
from bacalhau_nats.domain.job import RERUNNABLE, Alias, JobState
from bacalhau_nats.domain.jobview import JobView
from bacalhau_nats.domain.spec import RESERVED_META, Cause, JobSpec, StopRequest
from bacalhau_nats.domain.validation import submission_faults
from bacalhau_nats.errors import Conflict, Unavailable
from bacalhau_nats.gateway import refusals
from bacalhau_nats.gateway.content import Content
from bacalhau_nats.gateway.core import Gateway, evaluation_id
from bacalhau_nats.gateway.submission import (
    Accepted,
    Submission,
    accepted,
    check_size,
    check_stored,
    mark_of,
)

_log = logging.getLogger(__name__)
_ATTEMPTS = 10


class Submissions:
    """The use cases that write specs."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.content = Content(gateway.blobs, gateway.settings.inline_limit)

    # --- submit ------------------------------------------------------------------------------------

    async def submit(self, submission: Submission) -> Accepted:
        """Store a new job, or the next version of the job of that name. Raises Refusal, Unavailable."""
        spec, warnings = await self._prepare(submission)
        token = submission.token
        if not spec.name:
            job_id = token_job_id(token) if token else JobID(f"j-{uuid4()}")
            return await self._create(spec.but(id=job_id, name=job_id), submission, warnings)
        known = self._gateway.view.named(spec.namespace, spec.name)
        job = self._gateway.view.job(known) if known else None
        if job is not None:
            base = job.spec, job.spec_seq
            return await self._update(base, spec, submission, warnings)
        if is_full(spec.name):
            # An unnamed job took its id as its name; its spec does not lie where a name would put it.
            found = await self._gateway.records.get(spec_key(spec.name))
            if found is not None and isinstance(found.record, JobSpec) and found.record.name == spec.name:
                return await self._update((found.record, found.seq), spec, submission, warnings)
        if spec.id and spec.id != named_job_id(spec.namespace, spec.name):
            await self._take_name(spec)
            return await self._create(spec, submission, warnings)
        named = spec.but(id=named_job_id(spec.namespace, spec.name))
        return await self._create(named, submission, warnings)

    async def _prepare(self, submission: Submission) -> tuple[JobSpec, list[str]]:
        job = submission.job
        if job is not None and None in job.get("Tasks", ()):
            raise refusals.unspecific()  # what the public server answers to a task that is null
        faults = submission_faults(job)
        if job is None or faults:
            raise refusals.bad_request(message_of(faults))
        draft, warnings = sanitise(normalise(job))
        await self.content.set_aside(draft)
        me = self._gateway.identity
        meta = {
            **dict(submission.client),
            "orchestrator.id": me.node_id,
            "requester.id": me.node_id,
            "server.installation.id": me.installation,
            "server.instance.id": me.instance,
        }
        reserved = {RESERVED_META + key: value for key, value in meta.items() if value}
        spec = to_spec(fill(draft, self._gateway.settings.defaults), reserved_meta=reserved)
        check_size(spec, submission)
        return spec, warnings

    async def _create(self, spec: JobSpec, submission: Submission, warnings: list[str]) -> Accepted:
        check_stored(spec)
        now = self._gateway.now()
        new: JobSpec = spec.but(created=now, submitted=now, nonce=uuid4().hex, request=submission.mark)
        for _ in range(_ATTEMPTS):
            try:
                seq = await self._gateway.records.create(spec_key(new.id), new)
            except Conflict:
                found = await self._gateway.records.get(spec_key(new.id))
                answer = await self._occupied(found, new, submission, warnings)
                if answer is None:
                    continue
                return answer
            return await self._accept(new, seq, "job-register", warnings)
        raise Conflict(f"job {spec.name} is being changed by others all the time", hint="try again")

    async def _occupied(
        self, found: Fact | None, new: JobSpec, submission: Submission, warnings: list[str]
    ) -> Accepted | None:
        """Deal with a spec that is there already; None when it is gone again."""
        record = found.record if found else None
        if found is None:
            return None
        if record is None:
            return await self._reincarnate(found, found.seq, new, (submission, warnings))
        if isinstance(record, JobSpec):
            if (record.namespace, record.name) != (new.namespace, new.name):
                raise refusals.job_exists(new.id)
            return await self._update((record, found.seq), new, submission, warnings)
        if not isinstance(record, Alias):
            return None
        target = await self._gateway.records.get(spec_key(record.alias_of))
        if target is None:
            return await self._create(new.but(id=record.alias_of), submission, warnings)
        if target.record is None:
            return await self._reincarnate(target, found.seq, new, (submission, warnings))
        held = target.record
        if isinstance(held, JobSpec) and (held.namespace, held.name) == (new.namespace, new.name):
            return await self._update((held, target.seq), new, submission, warnings)
        # The alias' own job lost its id to another: the name is free.
        try:
            seq = await self._gateway.records.update(spec_key(new.id), new, found.seq)
        except Conflict:
            return None
        return await self._accept(new, seq, "job-register", warnings)

    async def _reincarnate(
        self, tombstone: Fact, revision: int, new: JobSpec, rest: tuple[Submission, list[str]]
    ) -> Accepted | None:
        """Use a name again whose job was purged; None when somebody else was faster.

        Records of the purged job may still lie under its id, so the next one gets an id of its own,
        derived from the tombstone. The name points to it: that is the fence between two gateways.
        """
        target = named_job_id(new.namespace, new.name, tombstone.seq)
        alias = Alias(alias_of=target, namespace=new.namespace, name=new.name, nonce=uuid4().hex)
        try:
            self._gateway.wrote(await self._gateway.records.update(spec_key(new.id), alias, revision))
        except Conflict:
            return None
        return await self._create(new.but(id=target, incarnation=tombstone.seq), *rest)

    async def _take_name(self, spec: JobSpec) -> None:
        """Occupy the id of the name with an alias to the id that the client chose."""
        check_stored(spec)
        taken = await self._gateway.records.get(spec_key(spec.id))
        held = taken.record if taken else None
        if held is not None and not (isinstance(held, JobSpec) and held.name == spec.name):
            raise refusals.job_exists(spec.id)
        key = spec_key(named_job_id(spec.namespace, spec.name))
        alias = Alias(alias_of=spec.id, namespace=spec.namespace, name=spec.name, nonce=uuid4().hex)
        try:
            self._gateway.wrote(await self._gateway.records.create(key, alias))
        except Conflict:
            found = await self._gateway.records.get(key)
            if found is None or not (isinstance(found.record, Alias) and found.record.alias_of == spec.id):
                raise Conflict(
                    f"job {spec.name} was just created with another id",
                    hint="submit it again to update that job",
                ) from None

    # --- update ------------------------------------------------------------------------------------

    async def _update(
        self, base: tuple[JobSpec, int], spec: JobSpec, submission: Submission, warnings: list[str]
    ) -> Accepted:
        for _ in range(_ATTEMPTS):
            old, seq = base
            if submission.mark and old.request == submission.mark:
                return accepted(old, warnings)  # this very request, sent again
            if not submission.force and same_wish(old, spec):
                raise refusals.unchanged(old.name, old.id)
            new = self._next(old, spec, Cause.UPDATED, submission.mark)
            check_stored(new)
            try:
                written = await self._gateway.records.update(spec_key(old.id), new, seq)
            except Conflict:
                base = await self._reread(old.id)
                continue
            return await self._accept(new, written, "job-update", warnings)
        raise Conflict(f"job {spec.name} is being changed by others all the time", hint="try again")

    def _next(self, old: JobSpec, wanted: JobSpec, cause: Cause, request: str) -> JobSpec:
        changed: JobSpec = old.but(
            priority=wanted.priority,
            count=wanted.count,
            constraints=wanted.constraints,
            meta=wanted.meta,
            labels=wanted.labels,
            tasks=wanted.tasks,
            version=old.version + 1,
            submitted=self._gateway.now(),
            cause=cause,
            stop=None,
            request=request,
        )
        return changed

    async def _reread(self, job_id: JobID) -> tuple[JobSpec, int]:
        found = await self._gateway.records.get(spec_key(job_id))
        if found is None or not isinstance(found.record, JobSpec):
            raise refusals.job_not_found(job_id)
        return found.record, found.seq

    async def diff(self, submission: Submission) -> tuple[str, list[str]]:
        """Say how a job differs from the stored one of its name, and what would be ignored."""
        job = submission.job
        if job is None:
            raise refusals.unspecific()
        if not job.get("Name", "").strip():
            raise refusals.bad_request("invalid job spec: name is missing")
        spec, warnings = await self._prepare(submission)
        await self._gateway.caught_up()
        known = self._gateway.view.named(spec.namespace, spec.name)
        if known is None:
            await self._gateway.up_to_date()
            known = self._gateway.view.named(spec.namespace, spec.name)
        stored = self._gateway.view.job(known) if known else None
        if stored is None:
            raise refusals.job_name_not_found(spec.name, spec.namespace)
        return difference(stored.spec, spec), warnings

    # --- rerun and stop ----------------------------------------------------------------------------

    async def rerun(self, text: str, namespace: str, version: int, token: str = "") -> Accepted:
        """Store the next version of a job as a copy of ``version`` (0: the latest). Raises Refusal."""
        mark = mark_of(token)
        for _ in range(_ATTEMPTS):
            try:
                job = await self._gateway.find_job(text, namespace)
            except refusals.Refusal as refusal:
                raise refusals.invalid_job(refusal.message) from None
            if mark and job.spec.request == mark:
                return accepted(job.spec, [])  # this very request, sent again
            if job.state not in RERUNNABLE:
                raise refusals.cannot_rerun(job.state)
            wanted = job.versions.get(version or job.spec.version)
            if wanted is None:
                raise refusals.version_not_found(job.id, version, status=400)
            new = self._next(job.spec, wanted, Cause.RERUN, mark)
            seq = await self._write(job, new)
            if seq:
                return await self._accept(new, seq, "job-rerun", [])
        raise Conflict(f"job {text} is being changed by others all the time", hint="try again")

    async def stop(self, text: str, namespace: str, reason: str) -> str:
        """Ask for a job to end; give the id of the evaluation, or nothing when it is stopped already."""
        for _ in range(_ATTEMPTS):
            job = await self._gateway.find_job(text, namespace)
            if job.state is JobState.STOPPED:
                return ""
            if job.state in (JobState.COMPLETED, JobState.FAILED):
                raise refusals.cannot_stop(job.id, job.state)
            stopped: JobSpec = job.spec.but(stop=StopRequest(reason=reason, at=self._gateway.now()))
            seq = await self._write(job, stopped)
            if seq:
                await self._accept(stopped, seq, "job-cancel", [])
                return evaluation_id(job.id, stopped.nonce, stopped.version, "stop")
        raise Conflict(f"job {text} is being changed by others all the time", hint="try again")

    async def _write(self, job: JobView, spec: JobSpec) -> int:
        """Replace the spec that ``job`` shows; 0 when it moved on, and then the view has caught up."""
        try:
            return await self._gateway.records.update(spec_key(job.id), spec, job.spec_seq)
        except Conflict:
            await self._gateway.up_to_date()
            return 0

    async def _accept(self, spec: JobSpec, seq: int, cause: str, warnings: list[str]) -> Accepted:
        self._gateway.wrote(seq)
        try:
            await self._gateway.nudge(spec.id, seq, cause)
        except Unavailable as error:
            # The wish is stored; requesters hear the fact and sweep, so a lost nudge costs time only.
            _log.warning("nudge failed", extra={"action": "nudge_failed", "job": spec.id, "why": str(error)})
        return accepted(spec, warnings)
