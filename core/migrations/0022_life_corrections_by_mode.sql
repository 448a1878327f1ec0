-- What failures teach about remaining lives is kept for each failure mode. What was learned before is that of no mode
-- in particular.
update anomaly.life_correction set scores = jsonb_build_object('', scores);
