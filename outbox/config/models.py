"""The configuration as values: every key with its default, its limits, and the words that say what it must be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from outbox import durations
from outbox.config.base import Seconds, Section
from outbox.config.base import listed as _listed
from outbox.config.cpus import count_cpus
from outbox.config.dashboard import WebConfig
from outbox.config.files import ExistingFile
from outbox.config.provider_section import ProviderSection, kept_raw
from outbox.config.telling import LogConfig, SentryConfig
from outbox.config.times import SendingTimes
from outbox.config.topics import TopicConfig
from outbox.config.unsubscribing import UnsubscribeConfig
from outbox.config.urls import libpq_url
from outbox.errors import ConfigError


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("true and false are not numbers")  # noqa: TRY004 - pydantic collects ValueErrors only
    return value


def _per_cpu(value: object) -> object:
    return count_cpus() if value == "auto" else _number(value)


def _days(value: object) -> object:
    """Take `30d` for 30, as people write durations everywhere else."""
    return value.strip().removesuffix("d") if isinstance(value, str) else _number(value)


_NO_DATABASE = (
    "no database: set OUTBOX_DATABASE_URL to postgresql://user@host/database, "
    "or give --database-url, or write url under [database] in {file}; `outbox init` asks for it"
)
Whole = Annotated[int, BeforeValidator(_number)]
Days = Annotated[int, BeforeValidator(_days)]
_KEY_DAYS = 30
Name = Annotated[str, Field(min_length=1)]
Weight = Annotated[float, BeforeValidator(_number), Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[durations.Rate, BeforeValidator(durations.parse_rate)]


class DatabaseConfig(Section):
    """`[database]`: where the outbox lives."""

    url: SecretStr | None = Field(
        default=None,
        description="a URL such as postgresql://user@host/database",
    )

    @field_validator("url")
    @classmethod
    def _understood(cls, url: SecretStr | None) -> SecretStr | None:
        try:
            return url and SecretStr(libpq_url(url.get_secret_value()))
        except ConfigError as error:
            raise ValueError(str(error)) from None


class ChannelConfig(SendingTimes, Section):
    """`[channels.<name>]`: who delivers a channel's notifications, and how long it is tried. Durations in seconds."""

    providers: Annotated[tuple[Name, ...], BeforeValidator(_listed)] = Field(
        min_length=1,
        description='a list of provider names in failover order, such as ["smtp"]',
    )
    weights: Annotated[tuple[Weight, ...], BeforeValidator(_listed)] = Field(
        default=(), description="a list of numbers, one for each provider, such as [9, 1]"
    )
    max_attempts: Whole = Field(default=5, ge=1, le=100, description="a whole number from 1 to 100")
    backoff: Annotated[tuple[Seconds, ...], BeforeValidator(_listed)] = Field(
        default=(1.0, 3.0, 10.0, 30.0, 120.0, 600.0, 1_800.0, 3_600.0),
        min_length=1,
        description='a list of durations, such as ["1s", "10s", "2m"]',
    )
    jitter: Annotated[float, BeforeValidator(_number)] = Field(
        default=0.2, ge=0, le=1, description="a number from 0 to 1, the share of a delay that is left to chance"
    )
    max_age: Seconds = Field(default=259_200.0, gt=0, description='a duration above zero, such as "3d"')
    max_lost: Whole = Field(default=5, ge=1, le=100, description="a whole number from 1 to 100")
    on_ambiguous: Literal["retry", "stop"] = Field(default="retry", description='"retry" or "stop"')
    rate: Rate | None = Field(default=None, description='a rate, such as "100/s", "600/m" or "5000/h"')
    recipient_rate: Rate | None = Field(default=None, description='a rate, such as "5/h" or "20/d"')
    timeout: Seconds = Field(default=900.0, gt=0, description='a duration above zero, such as "15m"')

    @field_validator("providers")
    @classmethod
    def _each_once(cls, providers: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(providers)) < len(providers):
            raise ValueError("a provider is named twice")
        return providers

    @field_validator("weights")
    @classmethod
    def _one_each(cls, weights: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        providers = info.data.get("providers")
        if weights and providers is not None and len(weights) != len(providers):
            raise ValueError(f"there are {len(weights)} weights for {len(providers)} providers: each needs one")
        if weights and not any(weights):
            raise ValueError("no weight is above 0: which provider should get the messages?")
        return weights


class WorkerConfig(Section):
    """`[worker]`: how a worker process works, and how many there are. Durations in seconds."""

    processes: Annotated[int, BeforeValidator(_per_cpu)] = Field(
        default=1, ge=1, le=1_000, description='a whole number from 1 to 1000, or "auto"'
    )
    lease: Seconds = Field(default=30.0, ge=1, description='a duration of at least 1s, such as "30s"')
    concurrency: Whole = Field(default=200, ge=1, le=100_000, description="a whole number from 1 to 100000")
    prefetch: Whole | None = Field(default=None, ge=0, le=100_000, description="a whole number from 0 to 100000")
    grace: Seconds = Field(default=30.0, description='a duration, such as "30s"')
    settle_linger: Seconds = Field(default=0.005, le=1, description='a duration of at most 1s, such as "5ms"')
    poll: Seconds = Field(default=0.005, ge=0.001, description='a duration of at least 1ms, such as "5ms"')
    idle_poll: Seconds = Field(default=1.0, ge=0.001, description='a duration of at least 1ms, such as "1s"')
    idle_after: Seconds = Field(default=0.25, description='a duration, such as "250ms"')
    metrics_port: Whole | None = Field(
        default=None, ge=0, le=65_535, description="a port such as 9464, or 0 for a free one"
    )
    health_port: Whole | None = Field(
        default=None, ge=0, le=65_535, description="a port such as 9465, or 0 for a free one"
    )
    health_host: Name = Field(default="127.0.0.1", description='an address of this machine, such as "0.0.0.0"')
    handlers: Annotated[tuple[Name, ...], BeforeValidator(_listed)] = Field(
        default=(), description='a list of modules with functions of yours, such as ["shop.jobs"]'
    )
    metrics_host: Name = Field(default="0.0.0.0", description='an address of this machine, such as "127.0.0.1"')  # noqa: S104


class TemplatesConfig(Section):
    """`[templates]`: where the templates are. Durations in seconds."""

    path: Path = Field(default=Path("templates"), description="a folder's path, such as templates")
    packages: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        default=(), description='a list of packages, such as ["acme.mail:templates"]'
    )
    source: Name | None = Field(
        default=None, description='the dotted path of a function of yours, such as "acme.mail.templates"'
    )
    reload: Seconds = Field(default=1.0, description='a duration, such as "1s", or 0 for never')


class AttachmentsConfig(Section):
    """`[attachments]`: what may be fetched to go along with an email. Durations in seconds.

    The keys, and what they mean, are those of webhooks: `outbox.channels.guarded_settings.TlsOptionalSettings`.
    """

    allow: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        default=(), description='a list of hosts and networks, such as ["10.1.0.0/16"]'
    )
    ports: Annotated[tuple[Annotated[int, Field(ge=1, le=65_535)], ...], BeforeValidator(_listed)] = Field(
        default=(443, 80), min_length=1, description="a list of one port or more, such as [443]"
    )
    http: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        default=(), description='a list of the hosts that may be asked without TLS, such as ["localhost", "10.0.0.5"]'
    )
    timeout: Seconds = Field(default=30.0, gt=0, description='a duration above zero, such as "30s"')
    connect_timeout: Seconds = Field(default=10.0, gt=0, description='a duration above zero, such as "10s"')
    ca_file: ExistingFile | None = Field(default=None, description="a file of certificates in PEM")


class RetentionConfig(Section):
    """`[retention]`: how long what has ended is kept, in days."""

    days: Days = Field(default=30, ge=1, le=36_500, description="a whole number of days from 1, such as 30")
    dead_letter_days: Days = Field(default=90, ge=1, le=36_500, description="a whole number of days from 1, such as 90")
    open_dead_letter_days: Days | None = Field(
        default=None, ge=1, le=36_500, description="a whole number of days from 1, such as 365"
    )
    idempotency_days: Days | None = Field(
        default=None, ge=1, le=36_500, description="a whole number of days from 1, such as 30"
    )

    @field_validator("idempotency_days")
    @classmethod
    def _outlives_its_notification(cls, idempotency_days: int | None, info: ValidationInfo) -> int | None:
        """A key that went first would let a second notification in, with the first still on record under it."""
        days = info.data.get("days", 1)
        if idempotency_days is not None and idempotency_days < days:
            raise ValueError(f"a key outlives its notification: it must be at least retention.days, which is {days}")
        return idempotency_days

    @property
    def key_days(self) -> int:
        """For how many days an idempotency key is kept."""
        return self.idempotency_days or max(self.days, _KEY_DAYS)


class Config(Section):
    """The whole configuration. `source` is the file that it was read from, if there was one."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    database: DatabaseConfig = DatabaseConfig()
    channels: Mapping[str, ChannelConfig] = Field(default_factory=dict)
    providers: Annotated[Mapping[str, ProviderSection], BeforeValidator(kept_raw)] = Field(default_factory=dict)
    topics: Mapping[str, TopicConfig] = Field(default_factory=dict)
    worker: WorkerConfig = WorkerConfig()
    templates: TemplatesConfig = TemplatesConfig()
    retention: RetentionConfig = RetentionConfig()
    attachments: AttachmentsConfig = AttachmentsConfig()
    unsubscribe: UnsubscribeConfig = UnsubscribeConfig()
    log: LogConfig = LogConfig()
    sentry: SentryConfig = SentryConfig()
    web: WebConfig = WebConfig()
    source: Path | None = None

    @field_validator("channels")
    @classmethod
    def _a_text_message_is_sent_once_at_most(cls, channels: Mapping[str, ChannelConfig]) -> Mapping[str, ChannelConfig]:
        """A second text message costs money, and people: unless the configuration says otherwise, doubt ends it."""
        sms = channels.get("sms")
        if sms is None or "on_ambiguous" in sms.model_fields_set:
            return channels
        return {**channels, "sms": sms.model_copy(update={"on_ambiguous": "stop"})}

    @property
    def transactional(self) -> tuple[str, ...]:
        """The topics that people get who have unsubscribed."""
        return tuple(name for name, topic in self.topics.items() if topic.transactional)

    @property
    def unsubscribable(self) -> tuple[str, ...]:
        """The topics whose emails bring a link to unsubscribe."""
        return tuple(name for name, topic in self.topics.items() if topic.unsubscribe)

    @property
    def database_url(self) -> str:
        """The database's URL in libpq's form, with its password.

        Raises:
            ConfigError: none was given.
        """
        if self.database.url is None:
            raise ConfigError([_NO_DATABASE.format(file=self.source or "outbox.toml")])
        return self.database.url.get_secret_value()
