"""The models: one registry of names, the builders behind it, which layers learn, and the form that is fast on a CPU.

Takes: names. Gives: `registry.backbone` and `registry.classifier`; nothing is imported before it is asked for.
"""
