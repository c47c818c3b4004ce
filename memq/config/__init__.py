"""Options and queue policies as people write them: command line and file.

Imports: memq.policy, memq.wire's names of queues, memq.display and memq.errors.
Each mistake is one line that names the option, the value and what is allowed.
It never opens anything but the configuration file.
"""
