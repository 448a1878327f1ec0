-- name: scoring_product
select id from gateway.product where name = %(name)s;
