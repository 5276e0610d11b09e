"""`messplus explain`: why a request went where it went."""

from typing import Annotated

import typer
from google.protobuf import json_format

from cli.console import command_console
from cli.explain.fetch import fetch_explanation
from cli.explain.view import explanation_view
from cli.options import RequestIdArgument, ZooOption, chosen_zoo


def explain(
    request_id: RequestIdArgument,
    zoo: ZooOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the router's ExplainDecisionResponse as JSON.")
    ] = False,
) -> None:
    """Show why a running system sent a request to one model and not to another.

    Per model: the predicted satisfaction with its standard deviation, the
    predicted joules, the score (the smallest eligible one wins) and whether it
    could be chosen; above, what the policy went by: alpha, lambda and the
    debt, or V and Q. It is the router's first decision, as the event log has
    it, also where another model had to take over from a failing worker.

    Examples:

      messplus explain 3f1c0a9be2d44f0f8f6f1f0f2c9a7d51

      messplus explain my-request-17 --zoo my-zoo.yaml

      messplus explain my-request-17 --json | jq .reason
    """
    _, settings = chosen_zoo(zoo)
    reply = fetch_explanation(settings, request_id)
    if as_json:
        text = json_format.MessageToJson(
            reply, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        typer.echo(text)
    else:
        command_console().print(explanation_view(reply))
