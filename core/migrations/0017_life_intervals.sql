-- The ends of 90 % intervals of remaining life, beside those of 80 %. Null before they were told.
alter table anomaly.forecast add column life_hours_q05 real;
alter table anomaly.forecast add column life_hours_q95 real;
alter table anomaly.shadow_forecast add column life_hours_q05 real;
alter table anomaly.shadow_forecast add column life_hours_q95 real;
