"""A small product sheet for tests."""

SMALL = """
[product]
name = "kettle"
title = "Kettle K1"
manufacturer = "Teaworks"
interval = "1 min"
window = "1 h"
learning = "2 d"
forecast_every = "6 h"
late_after = "12 h"
history_max = "400 d"

[[metric]]
name = "water_c"
title = "Water"
unit = "°C"
range = [-40, 130]

[[metric]]
name = "power_w"
title = "Power"
unit = "W"
range = [0, 4000]

[[metric]]
name = "boils"
title = "Times boiled"
unit = ""
range = [0, 1e12]
precise = true

[[failure_mode]]
name = "scale"
title = "Scale"
component = "heater"
cost_of_failure = 100
cost_of_visit = 20
lead_time = "7 d"

  [[failure_mode.evidence]]
  metric = "power_w"
  direction = "up"
"""

WIDER = SMALL.replace(
    "[[failure_mode]]",
    """[[metric]]
name = "lid_open"
title = "Lid open"
unit = ""
range = [0, 1]

[[failure_mode]]""",
    1,
)
