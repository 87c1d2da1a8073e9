"""The engine of every role: pure asyncio, no Kafka, no models. `pipeline.Pipeline` is its front.

admit (credits) → stages (I/O, CPU threads, the one device) → publish in order → await delivery → ack in order
"""
