// Plays tables of recorded streams (clients/write_stream_tables.py): GRAPHC_STREAMS=FOLDER node --test tests/streams.test.js

import {test} from 'node:test';
import {StreamSession} from '../src/stream.js';
import {Pushes, compare, opened, readTable, tables} from './tables.js';

const sessions = new Map();

async function sessionOf(table) {
  if (table.reset || table.catch_up || !sessions.has(table.model)) sessions.set(table.model, await opened(StreamSession, table));
  return sessions.get(table.model);
}

for (const name of tables('.stream.json'))
  test(name, async () => {
    const table = readTable(name);
    const pushes = new Pushes(table.input);
    const session = await sessionOf(table);
    session.reset();
    let held;
    let kept;
    let got = Object.fromEntries(table.outputs.map((o) => [o.name, []]));
    const keep = (found) => Object.entries(found).forEach(([output, value]) => got[output].push(value));
    for (const [what, input, frames] of table.steps) {
      if (what === 'push') {
        keep(await session.push({[input]: pushes.next(session.inputs.find((one) => one.name === input), frames)}));
      } else if (what === 'snapshot') {
        held = session.snapshot();
        kept = Object.fromEntries(Object.entries(got).map(([output, parts]) => [output, [...parts]]));
      } else if (what === 'resume') {
        session.resume(held);
        got = kept;
      } else if (what === 'reset') {
        session.reset();
        Object.values(got).forEach((parts) => parts.splice(0));
      } else {
        keep(await session.flush());
      }
    }
    for (const entry of table.outputs) compare(session.outputs.find((one) => one.name === entry.name), got[entry.name], entry);
  });
