"""What follows from a finding, chosen by the settings and never by a rule.

========== ========================================== ===============================================================
action     asked for by                               done
========== ========================================== ===============================================================
tag        always                                     by the sidecar, in the store (`sidecar.ending`)
notify     `[tool.tracker.rules] notify`              by the sidecar, through apprise (`notify`)
checkpoint `[tool.tracker.rules] checkpoint`          in the training, once for each rule (`checkpoint`)
stop       `[tool.tracker.rules] stop`                `run.should_stop`; under `tracker run` by `StopTraining` (`stop`)
========== ========================================== ===============================================================
"""
