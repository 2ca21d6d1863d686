"""Tools for procedures."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from mimo_server.procedures.execution import Execution
from mimo_server.surface.tools import ADDS, READS, RESETS, Arguments, Call, Nothing, Result, tool

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Context = Annotated[dict[str, JsonValue], Field(max_length=64)]
Id = Annotated[str, Field(min_length=1, max_length=64)]


class RunArguments(Arguments):
    """What to run."""

    name: Name = Field(description="Name of the procedure")
    context: Context = Field(default_factory=dict, description="What it starts with")
    wait: bool = Field(default=True, description="Answer when it has ended; else at once")


class IdArguments(Arguments):
    """Which execution."""

    id: Id


class SendArguments(IdArguments):
    """What happened."""

    event: Name = Field(description="An event that its state waits for")
    data: Context = Field(default_factory=dict, description="What is known of it; joins the context")


class InterruptArguments(IdArguments):
    """Which execution to end, and why."""

    reason: str = Field(default="user", min_length=1, max_length=256)


class ProcedureResult(Result):
    """One procedure."""

    name: str
    version: str
    states: list[str]
    deadline_seconds: float


class ProceduresResult(Result):
    """Those that can be run, and those that run."""

    procedures: list[ProcedureResult]
    running: list[str]


class ExecutionResult(Result):
    """How a run stands."""

    id: str
    procedure: str
    status: str
    state: str
    context: dict[str, JsonValue]
    problem: str | None = None

    @classmethod
    def of(cls, execution: Execution) -> ExecutionResult:
        """The execution as an answer."""
        return cls(
            id=execution.id,
            procedure=execution.procedure.name,
            status=execution.status,
            state=execution.state,
            context=dict(execution.context),
            problem=execution.error,
        )


@tool(READS)
async def procedure_list(call: Call, arguments: Nothing) -> ProceduresResult:  # noqa: ARG001 -- every tool has some
    """List the procedures that can be run, and the executions that run now."""
    procedures = call.app.procedures
    return ProceduresResult(
        procedures=[
            ProcedureResult(
                name=one.name, version=one.version, states=list(one.states), deadline_seconds=one.deadline_seconds
            )
            for one in procedures.definitions.values()
        ],
        running=[one.id for one in procedures.list() if not one.ended.is_set()],
    )


@tool(READS)
async def procedure_status(call: Call, arguments: IdArguments) -> ExecutionResult:
    """Say how an execution stands; the last ones that ended are kept for a while."""
    return ExecutionResult.of(call.app.procedures.status(arguments.id))


@tool(ADDS)
async def procedure_run(call: Call, arguments: RunArguments) -> ExecutionResult:
    """Run a procedure, state by state, until it ends or its deadline is over."""
    await call.progress(0, None, f"running {arguments.name}")
    execution = await call.app.procedures.run(arguments.name, arguments.context, wait=arguments.wait)
    return ExecutionResult.of(execution)


@tool(ADDS)
async def procedure_send(call: Call, arguments: SendArguments) -> ExecutionResult:
    """Tell a waiting execution of an event."""
    return ExecutionResult.of(call.app.procedures.send(arguments.id, arguments.event, arguments.data))


@tool(RESETS)
async def procedure_interrupt(call: Call, arguments: InterruptArguments) -> ExecutionResult:
    """End an execution."""
    return ExecutionResult.of(call.app.procedures.interrupt(arguments.id, arguments.reason))
