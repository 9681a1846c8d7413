"""A rule in Python: the principal must be the one that the policy's arguments name, `{"who": "ana"}`.

LANGUAGES.md has the commands that build it. `componentize-py` makes `wit_world` of the contract.
"""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import guard

SCHEMA = {
    "type": "object",
    "required": ["who"],
    "properties": {"who": {"type": "string"}},
    "additionalProperties": False,
}


class Guard(exports.Guard):
    def describe(self):
        return guard.RuleInfo("only-one", "1.0.0", guard.Inputs.PRINCIPAL, json.dumps(SCHEMA))

    def validate(self, arguments):
        if json.loads(arguments)["who"] == "":
            raise Err("`who` is empty")

    def evaluate(self, request):
        who = json.loads(request.arguments)["who"]
        holds = request.principal.uid.id == who
        return guard.Verdict(holds, None if holds else f"it is not {who}")
