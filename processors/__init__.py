"""Pure functions over frozen values: decode plans, colours, evidence, captions, fusion, merge.

Nothing here touches torch, Kafka, FAISS, an object store or the clock.
"""
