// Loads the files of a model.

import {GraphcError} from './manifest.js';

/** Loads a URL, or in Node a file. */
export async function fetched(url) {
  const local = globalThis.process?.versions?.node && !/^(https?|data|blob):/.test(String(url));
  if (local) {
    const {readFile} = await import('node:fs/promises');
    try {
      return new Response(await readFile(String(url).startsWith('file:') ? new URL(url) : url));
    } catch (error) {
      throw new GraphcError(`${url}: ${error.message}`);
    }
  }
  const answer = await fetch(url);
  if (!answer.ok) throw new GraphcError(`${url}: ${answer.status} ${answer.statusText}`);
  return answer;
}

/** Whether a name is that of a file beside the manifest. */
export function isBeside(name) {
  return typeof name === 'string' && !/[/\\]/.test(name);
}

/** Loads the files that a manifest names, from beside it. Returns their bytes by name. */
export async function filesOf(manifest, url) {
  const names = new Set(manifest.states.filter((s) => s.init?.file).map((s) => s.init.file));
  const files = {};
  for (const name of names) {
    if (!isBeside(name)) throw new GraphcError(`'${name}' is not a file beside the manifest`);
    files[name] = await (await fetched(String(url).replace(/[^/]*$/, '') + name)).arrayBuffer();
  }
  return files;
}
