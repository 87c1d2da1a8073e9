"""server.properties and log4j2.properties of the embedded broker: one node, loopback only, small, nothing expires."""

from __future__ import annotations

from pathlib import Path

MAX_MESSAGE_BYTES = 4 * 2**20


def server_properties(*, port: int, controller_port: int, data: Path, partitions: int) -> str:
    """The configuration of a single KRaft node that is broker and controller.

    Args:
        port: loopback port of the clients.
        controller_port: loopback port of the controller's own listener.
        data: folder of the log segments.
        partitions: default number of partitions of a new topic.
    """
    return f"""\
process.roles=broker,controller
node.id=1
listeners=CLIENT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=CLIENT://127.0.0.1:{port}
listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=CLIENT
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:{controller_port}
log.dirs={_escaped(data)}

# A topic that nobody declared is a typing mistake.
auto.create.topics.enable=false
num.partitions={partitions}
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=2
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1

# The log is the truth and can be replayed: nothing expires, neither messages nor the groups' positions
# (a stack that was off for a month must go on where it was).
log.retention.ms=-1
offsets.retention.minutes=5256000
message.max.bytes={MAX_MESSAGE_BYTES}
replica.fetch.max.bytes={MAX_MESSAGE_BYTES}

# Groups of one machine: no wait for more members; short sessions are allowed, so that a killed role is noticed soon.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
# After a kill the broker is let in again when its old session has ended: 9 s by default.
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=500
# By default the controller writes a record of nothing twice a second, by which monitors of many nodes see that it lives.
metadata.max.idle.interval.ms=10000

# A small machine: few threads, small segments, indexes and cleaner buffers.
num.network.threads=2
num.io.threads=4
background.threads=2
num.recovery.threads.per.data.dir=2
log.segment.bytes=134217728
log.index.size.max.bytes=1048576
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=8388608
log.cleaner.io.buffer.size=131072
metadata.log.segment.bytes=16777216
"""


def log4j_properties(folder: Path) -> str:
    """Warnings and the milestones of the start, in `broker.log`, at most 3 files of 5 MB."""
    return f"""\
status=error
rootLogger.level=warn
rootLogger.appenderRef.file.ref=file
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName={_escaped(folder / "broker.log")}
appender.file.filePattern={_escaped(folder / "broker.log.%i")}
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d{{yyyy-MM-dd'T'HH:mm:ss.SSS}} %p %c{{1}} %m%n
appender.file.policies.type=Policies
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size=5MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=2
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=info
"""


def _escaped(path: Path) -> str:
    """As Java reads a properties file: ISO 8859-1, everything else as UTF-16 escapes."""
    units = str(path).replace("\\", "\\\\").encode("utf-16-be")
    codes = [int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2)]
    return "".join(chr(code) if code < 128 else f"\\u{code:04x}" for code in codes)
