-- Remaining lives are corrected by failures that happened. What a product's failures have taught, and since when
-- it holds; and beside each corrected forecast what the laws of wear alone had said, from which is learned on.
create table anomaly.life_correction (
    product_id bigint not null references gateway.product,
    from_at timestamptz not null,          -- event time: for forecasts made later; all its failures came before
    failures integer not null,
    scores jsonb not null,                 -- anomaly.lives.Correction.scores
    created_at timestamptz not null,
    primary key (product_id, from_at)
);

alter table anomaly.forecast add column life_said real[];
