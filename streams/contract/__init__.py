"""The contract: topics, records, codecs, event headers, and the documents generated from them."""
