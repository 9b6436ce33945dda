"""Other consumers that a user may pick, each a program of its own, and how they fare beside Lockstep.

Not among them: Kafka Connect's sink for Qdrant (looked at as of 1.2.0) and Redpanda Connect's output. Both speak gRPC
only, which the endpoint of the stack without Docker does not, and both want ready vectors. The first passes records
without a value over, so that what was deleted stays.
"""
