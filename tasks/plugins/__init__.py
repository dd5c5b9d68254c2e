"""Trainers, miners and labellers from elsewhere: a command with an input and an output folder.

The contract is that of YMIR's executors, in both directions: `running` runs any of them, `executor` is one. See
`dev_docs/ymir-cmd-container.md` of https://github.com/IndustryEssentials/ymir, version 1.1.0 of its protocol.
"""
