"""For `locust -f loadtests/locustfile.py --headless --host URL --scenario rush`, which
`python -m loadtests` also runs. Defines the users and starts the runner."""

import sys
from pathlib import Path
from typing import Any

import gevent
from locust import events

from loadtests.accounts import AccountsError, accounts_file
from loadtests.runner import Plan, Runner
from loadtests.scenarios import MAX_PEOPLE, MAX_SECONDS, SCENARIOS, problem
from loadtests.users import InstructorUser, StudentUser, ViewerUser

__all__ = ["InstructorUser", "StudentUser", "ViewerUser"]


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _options(parser: Any) -> None:
    parser.add_argument(
        "--scenario", choices=sorted(SCENARIOS), default="rush", help="Kind of crowd"
    )
    parser.add_argument(
        "--people", type=int, default=50, help=f"Users or screens, at most {MAX_PEOPLE}"
    )
    parser.add_argument(
        "--seconds", type=float, default=10, help=f"Duration, at most {MAX_SECONDS}"
    )
    parser.add_argument(
        "--results",
        default="var/load/results.json",
        help="File for the results, read by the verdict",
    )
    parser.add_argument(
        "--accounts",
        default="",
        help="File for accounts between runs (default: in var/load/; -: none)",
    )
    parser.add_argument(
        "--confirm-host", default="", help="Repeat the host to load another machine"
    )


@events.init.add_listener  # type: ignore[untyped-decorator]
def _set_up(environment: Any, **_: object) -> None:
    options = environment.parsed_options
    environment.host = url = (options.host or "http://127.0.0.1:8000").rstrip("/")
    if error := problem(url, options.people, options.seconds, options.confirm_host):
        sys.exit(error)
    scenario = SCENARIOS[options.scenario](options.people)
    StudentUser.fixed_count, InstructorUser.fixed_count, ViewerUser.fixed_count = (
        scenario.students,
        scenario.instructors,
        scenario.screens,
    )
    options.num_users = scenario.students + scenario.instructors + scenario.screens
    options.spawn_rate = 100
    # Refused requests are expected; the verdict decides whether the run was correct.
    environment.process_exit_code = 0


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def _start(environment: Any, **_: object) -> None:
    options = environment.parsed_options
    url = environment.host
    path = (
        None
        if options.accounts == "-"
        else Path(options.accounts)
        if options.accounts
        else accounts_file(url)
    )
    scenario = SCENARIOS[options.scenario](options.people)
    environment.crowd = Runner(
        Plan(scenario, url, options.people, options.seconds, Path(options.results), path)
    )
    try:
        environment.crowd.gather()
    except AccountsError as error:
        sys.exit(str(error))
    gevent.spawn(_run, environment)


def _run(environment: Any) -> None:
    try:
        environment.crowd.run()
    except BaseException:
        environment.process_exit_code = 2
        raise
    finally:
        # Locust's page can start another run.
        gevent.spawn(environment.runner.stop if environment.web_ui else environment.runner.quit)
