from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from examples.artemis import Artemis
from tests.support.commands import check, module, run

DEMO = module("examples.orders")


def rows(output: str) -> dict[str, int]:
    return {
        key: int(number)
        for key, number in re.findall(r"^(sent|handled|retried|dead-lettered) +(\d+)", output, re.MULTILINE)
    }


def check_output(output: str) -> None:
    assert rows(output) == {"sent": 16, "handled": 27, "retried": 4, "dead-lettered": 1}
    assert "everything adds up" in output
    # As it happens: a line is one of the shop, of a server, or of Eventing's log.
    lines = [line for line in output.splitlines() if re.match(r" *\d+\.\d\d s  ", line)]
    assert sum("orders" in line for line in lines) == 6
    assert sum("bestsellers" in line for line in lines) == 12
    assert sum("the payment gateway is busy" in line for line in lines) == 2
    # The session went from the shop to each listener of Grace's order, over the retries and two further events.
    sessions = {re.findall(r"\S+-grace", line)[0] for line in lines if "grace" in line}
    assert len(sessions) == 1
    assert sum("-grace" in line for line in lines) == 1 + 2 + 1 + 2
    # The dead letter, read back.
    assert '"customer":"Mallory"' in output
    assert "-mallory, 3 attempts, the last one:" in output
    assert "PaymentGatewayError: no account to charge 35 EUR to" in output.rpartition("dead-lettered")[2]


def test_on_memory():
    check_output(check(*DEMO))


def test_on_an_artemis_that_runs(artemis: Artemis):
    command = (*DEMO, "--provider", "amqp", "--host", artemis.host, "--port", str(artemis.port), "--user", artemis.user)
    output = check(*command, env={"EVENTING_AMQP__PASSWORD": artemis.password})
    check_output(output)
    assert artemis.password not in output
    queues = artemis.queue_stat()
    assert queues["ChargeCustomer"].messages == 0
    assert queues["CountBestsellers-server-a"].added == queues["CountBestsellers-server-b"].added == 6
    assert queues["ChargeCustomer.dead"].added == 1
    assert queues["ChargeCustomer.dead"].messages == 0


def test_what_does_not_add_up_is_an_error():
    program = (
        "import sys; from examples.orders import __main__ as demo; sys.argv = ['demo'];"
        "demo.ORDERS = demo.ORDERS[:3]; demo.PATIENCE = 0.5; sys.exit(demo.main())"
    )
    done = run(sys.executable, "-c", program)
    assert done.returncode == 1
    assert "this doesn't add up" in done.stdout


def test_it_says_what_to_run_where_it_can_start_no_broker(tmp_path: Path):
    done = run(
        *DEMO, "--provider", "amqp", env={"PATH": str(tmp_path), "JAVA_HOME": "", "ARTEMIS_CACHE": str(tmp_path)}
    )
    assert done.returncode == 1
    assert "--provider amqp --host HOST --port 61616" in done.stdout


@pytest.mark.parametrize("option", ["--provider=smoke", "--port=amqp"])
def test_wrong_options(option: str):
    done = run(*DEMO, option)
    assert done.returncode == 2
    assert "usage: python -m examples.orders" in done.stdout


def test_a_broker_that_is_not_there_is_told_in_one_line():
    done = subprocess.run([*DEMO, "--provider", "amqp", "--port", "1"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("ConnectionRefusedByHostError: ")
    assert "Traceback" not in done.stderr
