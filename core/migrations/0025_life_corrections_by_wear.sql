-- What failures teach about remaining lives is kept for several degrees of wear, and counted in another unit. What was
-- learned before cannot be counted anew; the next look learns it from the same failures again.
delete from anomaly.life_correction;
