"""Names of every Redis key. `{zoo}` is a hash tag, so that one zoo's keys share a cluster slot."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of one zoo; each attribute's docstring names its only writer and its type."""

    zoo: str

    def _key(self, name: str) -> str:
        return f"messplus:{{{self.zoo}}}:{name}"

    @property
    def events(self) -> str:
        """Stream: the log. Written by router, energy and feedback."""
        return self._key("events")

    def batch(self, router_id: str) -> str:
        """String: number of a router's last executed batch, expires. Written by `messplus_commit`."""
        return self._key(f"batch:{router_id}")

    def sla_class(self, name: str) -> str:
        """Hash: `step`, `debt`. Written by the function `messplus_commit` alone."""
        return self._key(f"class:{name}")

    @property
    def learner(self) -> str:
        """Hash: `fence`, `position`, `version` and the parts of the learned state. Written by the learner."""
        return self._key("learner")

    @property
    def calibration(self) -> str:
        """Hash meter id -> what was learned of it (JSON). Written by the energy service, read by routers."""
        return self._key("calibration")

    @property
    def joins(self) -> str:
        """Hash request id -> open join. Written by the learner."""
        return self._key("joins")

    @property
    def lease(self) -> str:
        """String: id of the learner that holds the lease, expires."""
        return self._key("lease")

    @property
    def dead(self) -> str:
        """Stream: events that could not be processed, with the reason. Written by the learner."""
        return self._key("dead")

    @property
    def labeler(self) -> str:
        """String: position up to which wanted labels were given. Written by the labeler."""
        return self._key("labeler")

    @property
    def secret(self) -> str:
        """String: key of the decision tokens. Written once by whoever comes first."""
        return self._key("secret")

    @property
    def snapshots(self) -> str:
        """Pub/sub channel: a message per new snapshot version."""
        return self._key("snapshots")

    def load(self, worker_id: str) -> str:
        """String (JSON): running, waiting, batch of one worker, expires in 2 s. Written by that worker."""
        return self._key(f"load:{worker_id}")

    def text(self, request_id: str) -> str:
        """Hash: `prompt`, `labeling`, `answer:<generation id>`; expires. Written by the router."""
        return self._key(f"text:{request_id}")

    def claim(self, request_id: str) -> str:
        """String: decision and answer of a client-supplied request id, expires. Written by the router."""
        return self._key(f"claim:{request_id}")

    def conversation(self, conversation_id: str) -> str:
        """String: model of a conversation where its class keeps one, expires. Written by the router."""
        return self._key(f"conversation:{conversation_id}")

    def decided(self, request_id: str) -> str:
        """String: log position of a request's decision, expires. Written by `messplus_commit`."""
        return self._key(f"decided:{request_id}")

    def failures(self, request_id: str) -> str:
        """List: log positions of what failed of a request, expires. Written by `messplus_commit`."""
        return self._key(f"failures:{request_id}")
