"""The labeler that a request asked for."""

from concurrent.futures import Executor

from google.protobuf.message import DecodeError
from messplus.router.v1 import router_service_pb2

from services.feedback.adapters.reference_labeler import ReferenceLabeler
from services.feedback.adapters.verifier_labeler import VerifierLabeler, matches_regex, matches_schema
from services.feedback.ports import Labeler, NotJudgedError


class Labelers:
    """Makes labelers. `judge` is None where the zoo has none; `executor` runs the ones that compute."""

    def __init__(self, executor: Executor, judge: Labeler | None) -> None:
        self._executor, self._judge = executor, judge

    def reference(self, text: str, metric: str) -> Labeler:
        """Compares with a right answer. Raises NotJudgedError for an unknown metric."""
        return ReferenceLabeler(text, metric, self._executor)

    def for_options(self, labeling: bytes) -> Labeler | None:
        """The labeler of serialised `LabelingOptions`; None where they name none.

        Raises NotJudgedError for options that cannot be read or served.
        """
        try:
            options = router_service_pb2.LabelingOptions.FromString(labeling)
        except DecodeError:
            raise NotJudgedError("the stored labeling options cannot be read") from None
        match options.WhichOneof("labeler"):
            case "reference":
                return self.reference(options.reference.text, options.reference.metric)
            case "verifier":
                return self._verifier(options.verifier)
            case "judge":
                if self._judge is None:
                    raise NotJudgedError("the zoo file has no judge section")
                return self._judge
            case _:
                return None

    def _verifier(self, verifier: router_service_pb2.Verifier) -> Labeler:
        match verifier.WhichOneof("rule"):
            case "regex":
                return VerifierLabeler(matches_regex, verifier.regex, self._executor)
            case "json_schema":
                return VerifierLabeler(matches_schema, verifier.json_schema, self._executor)
            case _:
                raise NotJudgedError("the verifier has no rule")
