import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * @param {readonly { name: string, bytes: Uint8Array }[]} files what the folder should hold, and nothing else
 * @param {string} folder
 * @returns {string[]} one line for each file that is missing, differs or is not wanted
 */
export function differences(files, folder) {
  const found = readdirSync(folder).sort();
  const extra = found.filter((name) => !files.some((file) => file.name === name));
  const wrong = files.flatMap(({ name, bytes }) => {
    if (!found.includes(name)) return [`${name}: missing`];
    const committed = readFileSync(join(folder, name));
    if (committed.equals(bytes)) return [];
    const at = bytes.findIndex((byte, i) => byte !== committed[i]);
    return [`${name}: differs from byte ${at < 0 ? bytes.length : at}`];
  });
  return [...wrong, ...extra.map((name) => `${name}: not made by the script`)];
}
