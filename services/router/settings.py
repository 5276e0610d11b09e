"""Settings of the router process."""

from pydantic import Field

from services.common.settings import ServiceSettings


class RouterSettings(ServiceSettings):
    """Everything else stands in the zoo file.

    Attributes:
        address: where to listen, "host:port"; empty: the first of the zoo's router addresses.

    """

    address: str = Field(default="", pattern=r"^(.+:[0-9]{1,5})?$")
