"""The one frozen object of settings, read once from `WEFT_*` by the entry points and passed down."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.bounds import (
    Bytes,
    Count,
    Days,
    Hours,
    Milliseconds,
    Replicas,
    Seconds,
    SecondsOrNone,
    Share,
    is_allowed_host,
    is_host,
    is_host_and_port,
)


class Settings(BaseSettings):
    """Every setting, its default and its meaning (docs/settings.md is generated from this)."""

    model_config = SettingsConfigDict(env_prefix="WEFT_", frozen=True, extra="ignore", env_ignore_empty=True)

    bootstrap_servers: str = Field("127.0.0.1:9092", description="Kafka brokers, host:port, comma-separated.")
    kafka_security_protocol: str = Field(
        "PLAINTEXT",
        pattern="^(PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL)$",
        description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL, as Kafka spells them.",
    )
    kafka_sasl_mechanism: str = Field(
        "PLAIN",
        pattern="^(PLAIN|SCRAM-SHA-256|SCRAM-SHA-512|OAUTHBEARER|AWS_MSK_IAM)$",
        description="PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER (tokens by client credentials), or AWS_MSK_IAM"
        " (Amazon MSK; needs the extra `msk`, and AWS credentials where that library looks for them).",
    )
    kafka_sasl_username: str = Field("", description="SASL user name.")
    kafka_sasl_password: SecretStr = Field(SecretStr(""), description="SASL password.")
    kafka_oauth_token_url: str = Field(
        "", description="OAUTHBEARER: the identity provider's token endpoint, e.g. https://sso.example/oauth2/token."
    )
    kafka_oauth_client_id: str = Field("", description="OAUTHBEARER: client id.")
    kafka_oauth_client_secret: SecretStr = Field(SecretStr(""), description="OAUTHBEARER: client secret.")
    kafka_oauth_scope: str = Field("", description="OAUTHBEARER: scopes to ask for, separated by spaces.")
    kafka_oauth_cafile: Path | None = Field(
        None, description="CA certificates (PEM) the token endpoint is checked against; empty: the public ones."
    )
    kafka_oauth_extensions: dict[str, str] = Field(
        {}, description="OAUTHBEARER: what the broker wants beside the token, e.g. logicalCluster (JSON object)."
    )
    kafka_msk_region: str = Field("", description="AWS_MSK_IAM: region of the cluster; empty: AWS_REGION.")
    kafka_ssl_cafile: Path | None = Field(None, description="CA certificates (PEM) the broker is checked against.")
    kafka_ssl_certfile: Path | None = Field(None, description="Client certificate (PEM) for mutual TLS.")
    kafka_ssl_keyfile: Path | None = Field(None, description="Key (PEM) of the client certificate.")
    kafka_jars: Path | None = Field(
        None, description="Folder with the jars of a Kafka 4 for the embedded broker; empty: fetched once, 44 MB."
    )
    kafka_replication_factor: Replicas = Field(-1, description="Replication of new topics; -1: the broker's default.")
    kafka_min_insync_replicas: Replicas = Field(
        -1,
        description="How many replicas must have a record before it counts, of new topics; -1: the broker's default.",
    )
    uploads_retention_days: Days = Field(
        -1, description="How long new uploads topics keep records, in days; -1: for ever. Replays reach back as far."
    )
    dead_letters_retention_days: Days = Field(
        -1, description="How long new dead-letter topics keep letters, in days; -1: for ever."
    )
    topic_prefix: str = Field(
        "",
        pattern="^[A-Za-z0-9._-]{0,200}$",
        description="Put before the name of every topic, e.g. `dev.`: two stacks of one cluster do not see each other.",
    )
    topic_names: dict[str, str] = Field(
        {},
        description="Topics that are called otherwise on the cluster (JSON object, from the name in docs/events.md to the"
        " name there); the prefix is not put before these.",
    )
    group_prefix: str = Field(
        "",
        pattern="^[A-Za-z0-9._-]{0,200}$",
        description="Put before the name of every consumer group; empty: the prefix of the topics.",
    )
    group_names: dict[str, str] = Field(
        {}, description="Consumer groups that are called otherwise (JSON object: weft-enrich, weft-caption, …)."
    )

    instance: str = Field(
        "",
        pattern="^[A-Za-z0-9._-]{0,100}$",
        description="Name of this process that no other has at the same time (the pod of a StatefulSet): at its start it takes"
        " its predecessor of that name, which was killed, out of its consumer groups, and does not wait for its session to"
        " end. Empty: it waits. `weft up` names its own; `none`: not even there.",
    )

    data_dir: Path = Field(Path(".weft/data"), description="Where the embedded stack keeps everything.")
    store_url: str = Field(
        "", description="file:///folder, or s3://bucket/prefix; empty: the folder `store` in the data dir."
    )
    s3_endpoint: str = Field("", description="host:port of an S3 server other than AWS, e.g. 127.0.0.1:9000.")
    s3_secure: bool = Field(True, description="Use TLS towards the S3 server.")
    s3_cafile: Path | None = Field(
        None, description="CA certificates (PEM) the S3 server is checked against; empty: the public ones."
    )
    s3_region: str = Field("", description="Region of the bucket; empty: AWS_REGION, else us-east-1.")
    s3_access_key: SecretStr = Field(
        SecretStr(""),
        description="S3 access key; empty: environment, web identity, shared profile, container or instance role, as"
        " AWS's tools do.",
    )
    s3_secret_key: SecretStr = Field(SecretStr(""), description="S3 secret key.")

    profile: str = Field(
        "starter",
        description="Which models: starter, starter-bf16 (the same, photos embedded in bfloat16), full, a profile of your own by name or by the"
        " path of its file (docs/models/profiles.md), or fake (for tests of the plumbing).",
    )
    model_cache: Path = Field(
        Path("~/.cache/weft/models").expanduser(), description="Where fetched bases are unpacked and converted."
    )
    device: str = Field("auto", pattern="^(auto|cpu|cuda(:[0-9]+)?)$", description="auto, cpu or cuda.")
    threads: int = Field(0, ge=0, le=1024, description="CPU threads of the device in one role; 0: all cores.")

    partitions: int = Field(12, ge=1, le=10_000, description="Partitions of the topics that Weft creates.")
    allowed_hosts: tuple[str, ...] = Field((), description="Hosts that https:// images may come from (JSON list).")
    file_roots: tuple[Path, ...] = Field((), description="Folders that file:// images may come from (JSON list).")
    max_image_bytes: Bytes = Field(32 * 2**20, description="Largest encoded image that is read.")
    max_image_pixels: Count = Field(64_000_000, description="Largest image, width × height, that is decoded.")
    keep_photo_metadata: bool = Field(
        False,
        description="Store photos with their EXIF, XMP, IPTC and comments (place, owner, device) instead of without.",
    )
    fetch_seconds: Seconds = Field(
        20.0,
        description="Longest time to ask for one image once; an upload's image may take twice as long in all.",
    )
    busy_host_seconds: SecondsOrNone = Field(
        120.0,
        description="Longest time that an upload waits beside it because the host of its image asks for it (`Retry-After`); "
        "less than `WEFT_STALL_SECONDS`, or waiting passes for a stall.",
    )
    query_photo_hours: Hours = Field(
        6.0,
        description="How long photos that shoppers asked with are kept; whole hours, counted from the next full one.",
    )
    edit_hours: Hours = Field(
        168.0,
        description="How long edited images, their masks and manifests are kept; whole hours, counted from the next full one.",
    )
    edit_consent: Literal["faces", "stated", "always"] = Field(
        "faces",
        description="Which requests to edit a photo (not a product's) must say `consent: true`: those in which a face is seen, none (stated: "
        "false is refused), or all (always).",
    )
    credit_bytes: Bytes = Field(256 * 2**20, description="Encoded and decoded bytes a role may hold at once.")
    batch_items: Count = Field(16, description="Largest batch of the device.")
    batch_wait_ms: Milliseconds = Field(20.0, description="Longest wait of the first item of a batch.")
    unchanged: Literal["skip", "publish"] = Field(
        "skip",
        description="What becomes of a product that comes again as it was: skip publishes nothing, publish the same bytes again.",
    )
    sink_url: SecretStr = Field(
        SecretStr(""),
        description="Postgres of the role `sink`: postgresql://user@host/database; the password there, in PGPASSWORD or in a pgpass file.",
    )
    sink_table: str = Field(
        "weft_captions", description="Table of the role `sink`, with or without a schema; made where it is missing."
    )
    drain_seconds: Seconds = Field(
        20.0, description="After SIGTERM, longest wait for what is in flight; the rest is delivered again."
    )
    stall_seconds: Seconds = Field(
        180.0,
        description="/healthz of a role answers 503 when work has waited for so long and none of it was done.",
    )
    poll_seconds: Seconds = Field(
        120.0,
        description="A role whose event loop has stood still for so long loses its partitions to another worker.",
    )
    silent_seconds: Seconds = Field(
        60.0,
        description="`weft up` kills a role that has not answered /healthz for so long, and starts it again.",
    )
    device_seconds: Seconds = Field(
        600.0,
        description="Longest run of one batch on the device; past it the process ends, to be started again: a driver "
        "that hangs cannot be stopped.",
    )
    neighbours: Count = Field(20, description="K: how many labelled neighbours vote on a facet.")
    triplets_of_each: int = Field(
        2, ge=1, le=16, description="How many targets a product is paired with when it comes (role `triplets`)."
    )
    triplet_products: int = Field(
        50_000,
        ge=100,
        le=1_000_000_000,
        description="Products that the role `triplets` keeps to pair others with (1.5 KB each), and eight times as many triplets;"
        " those written longest ago give way.",
    )
    triplet_captions: Literal["rules", "writer", "vision"] = Field(
        "rules",
        description="Who describes both sides of a triplet: rules, the writer of captions, or (profile full) a vision-language"
        " model in the model cache (docs/models/composer.md).",
    )
    triplet_words: Literal["grammar", "chat"] = Field(
        "grammar",
        description="Who words what changes: a grammar, or (profile full) the instruct model; what that says is checked.",
    )
    composer: str = Field(
        "facets",
        description="Who composes image and words of a query that names nobody: facets, direction, or one of `WEFT_COMPOSERS`"
        " (with `facets+` before it: beside the facets).",
    )
    composers: dict[str, Path] = Field(
        {},
        description="Trained composers (JSON object, from the name, e.g. combiner, to its weights, `weft train composer`); each must be"
        " of the encoder that serves: one with another target side needs a generation of its own.",
    )
    composer_shares: dict[str, float] = Field(
        {},
        description="A test: which share of the queries that name no composer each composer answers, by the query's id (JSON"
        ' object, e.g. `{"facets": 0.5, "direction": 0.5}`); results name theirs as `arm`.',
    )
    rerank: Literal["", "late-interaction"] = Field(
        "",
        description="Who compares the best fifty hits of a composed query again, by all of their vectors, where its deadline leaves time: late-interaction"
        " (docs/models/composer.md: it gains nothing with the starter's vectors); empty: nobody, which saves a second round to the shards.",
    )
    shadow_profile: str = Field(
        "",
        description="Another profile (its name, or the path of its file): a share of the uploads is thought by it as well and compared with"
        " what was published, in metrics alone (role `shadow`, which `weft up` starts where this is set).",
    )
    shadow_share: Share = Field(
        0.05,
        description="Which share of the products `WEFT_SHADOW_PROFILE` sees: by their ids, so the same ones always.",
    )
    standing_queries: Count = Field(
        1000, description="Most standing queries (`search.standing`); those saved beyond are refused."
    )
    standing_pairs: Count = Field(
        500_000,
        description="Most products of one worker that may meet a standing query, over all queries; beyond, the query that most"
        " products meet is suspended.",
    )
    story_writer: str = Field(
        "",
        description="File of an adapter, writer.safetensors of `weft train writer --recipe context`: captions then have a sentence that the language "
        "model writes of an article's chunk, where it stands its checks; empty: sentences are quoted.",
    )
    second_encoder: str = Field(
        "",
        description="Folder of a second image tower (timm, open_clip or transformers layout, with its weft-artefact.json) for the pictures of "
        "articles; empty: ImageNet's EfficientNet-lite0.",
    )
    similar: int = Field(
        10, ge=0, le=100, description="Neighbours of each product on `catalog.similar`; 0: none are kept there."
    )
    similar_products: Count = Field(
        50_000, description="Most products whose neighbours are kept (about 4 KB each); those beyond have none."
    )
    facet_policy: dict[str, str] = Field(
        {},
        description="Who decides a facet of a garment: merchant, seen, pixels, neighbours or never, by facet (JSON object, e.g. "
        '`{"fabric": "neighbours"}`); facets left out keep their defaults (docs/events.md).',
    )
    facet_seconds: Seconds = Field(
        5.0, description="How often enrich looks which version of facet heads is live (`weft facets`)."
    )
    publish_neighbours: bool = Field(
        True,
        description="Whether a caption's evidence names other products: ids of neighbours that voted, and their sentences as "
        "style examples.",
    )
    writer: Literal["auto", "grounded", "free", "template", "blip"] = Field(
        "auto",
        description="Who writes captions: the language model, held to a grammar of what is known of each product (grounded) or not"
        " (free; in both cases every claim is checked), BLIP, which looks at the photo (blip: docs/models/captions.md), or rules"
        " without a model (template). auto: the profile's writer, free.",
    )
    writer_seconds: Seconds = Field(
        300.0,
        description="Longest that the language model may take for one batch of captions; past it they are written by rule until it comes"
        " back, and `weft replay` has them written again.",
    )
    caption_tone: str = Field(
        "plain",
        pattern="^(plain|warm|editorial|playful|varied)$",
        description="Tone of captions: plain is product copy; varied gives each product one of the others or this, by its id.",
    )
    hold_rules: Path | None = Field(
        None,
        description="Rules (JSON) by which a caption is put on hold; empty: those that are shipped (docs/events.md).",
    )
    kits: Path | None = Field(
        None,
        description="Folder of brand kits (YAML, docs/kits.md): `acme.yaml` is the kit of uploads with the metadata `kit: acme`, "
        "`default.yaml` that of all others. Read at the start of the role caption.",
    )
    index_recall: float = Field(
        0.99,
        ge=0.5,
        le=1,
        description="The least share of the nearest rows that an approximate index of a segment must find, measured on the"
        " segment's own vectors; 1: no such index is built, every search is a scan.",
    )
    index_types: tuple[Literal["ivf-sq8", "ivf-rabitq", "hnsw-sq8"], ...] = Field(
        ("ivf-sq8", "ivf-rabitq", "hnsw-sq8"),
        description="Types of approximate indexes that may be built (JSON list); the fastest that finds enough is taken.",
    )
    index_standbys: int = Field(
        0,
        ge=0,
        le=8,
        description="How many other index workers hold a copy of each shard in memory, and answer for it when its owner is silent."
        " `weft up` starts so many workers more.",
    )
    snapshot_seconds: Seconds = Field(30.0, description="How often an index shard is snapshotted while it changes.")

    metrics_host: str = Field("127.0.0.1", description="Address the metrics servers listen on.")
    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port of /metrics, /healthz, /readyz, with `weft up` of all roles at once; 0: any free port.",
    )
    build_commit: str = Field("", description="Commit that an image was built from, for `weft_build_info`.")
    log_format: str = Field("auto", pattern="^(auto|console|json)$", description="auto, console or json.")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="debug, info, warning or error.")

    @field_validator(
        "kafka_replication_factor", "kafka_min_insync_replicas", "uploads_retention_days", "dead_letters_retention_days"
    )
    @classmethod
    def _is_none_or_more(cls, value: float) -> float:
        """Kept for 0 days, a topic loses its records as soon as they come; 0 replicas, and the broker refuses the topic."""
        if value == -1 or 0 < value < float("inf"):
            return value
        raise ValueError("must be -1, or more than 0")

    @field_validator("s3_endpoint")
    @classmethod
    def _is_endpoint(cls, value: str) -> str:
        """The scheme goes by `s3_secure`: an address with one was refused only by the role that opens the store."""
        if not value or is_host_and_port(value):
            return value
        raise ValueError(f"{value!r} is not host:port")

    @field_validator("metrics_host")
    @classmethod
    def _is_host(cls, value: str) -> str:
        if is_host(value):
            return value
        raise ValueError(f"{value!r} is neither the name nor the address of a host")

    @field_validator("kafka_oauth_token_url")
    @classmethod
    def _is_web_address(cls, value: str) -> str:
        if not value or value.startswith(("https://", "http://")):
            return value
        raise ValueError(f"{value!r} is no https:// address")

    @field_validator("allowed_hosts")
    @classmethod
    def _are_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """An address in place of a host matches none: each photo of it would be a dead letter."""
        for host in value:
            if not is_allowed_host(host):
                raise ValueError(f"{host!r} is no host: say host, host:port or *.domain")
        return value

    @field_validator("file_roots", mode="before")
    @classmethod
    def _are_folders(cls, value: object) -> object:
        """An empty path is the current folder."""
        if isinstance(value, list | tuple) and "" in value:
            raise ValueError("a folder has no name")
        return value

    @property
    def instance_name(self) -> str:
        """`instance`, or "" where it is turned off."""
        return "" if self.instance == "none" else self.instance

    @property
    def resolved_store_url(self) -> str:
        """`store_url`, or the local folder of the data dir."""
        return self.store_url or (self.data_dir.absolute() / "store").as_uri()


if __name__ == "__main__":
    import sys

    from infra.settings_page import main

    sys.exit(main(sys.argv[1:]))
