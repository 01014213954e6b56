// Plays tables of streams that share calls (clients/write_batch_tables.py): GRAPHC_STREAMS=FOLDER node --test tests/batches.test.js

import assert from 'node:assert/strict';
import {test} from 'node:test';
import {BatchSession} from '../src/batch.js';
import {Pushes, compare, opened, readTable, tables} from './tables.js';

for (const name of tables('.batch.json'))
  test(name, async () => {
    const table = readTable(name);
    const pushes = new Pushes(table.input);
    const session = await opened(BatchSession, table);
    const got = new Map();
    for (const [what, number, of, frames] of table.steps) {
      if (what === 'begin') {
        assert.equal(session.begin(), number, 'the first free place');
        got.set(number, []);
      } else if (what === 'push') {
        session.push(number, {[of]: pushes.next(session.inputs.find((one) => one.name === of), frames)});
      } else if (what === 'finish') {
        session.finish(number);
      } else if (what === 'drop') {
        session.drop(number);
      } else if (what === 'step') {
        for (const [one, found] of await session.step()) got.get(one).push(found);
      } else {
        for (const entry of table.streams[of])
          compare(
            session.outputs.find((one) => one.name === entry.name),
            got.get(number).map((found) => found[entry.name]),
            entry,
          );
      }
    }
  });
