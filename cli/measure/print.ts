import { print } from '../io.ts';

/** Text from an image: nothing in it moves the cursor. */
export const visible = (text: string): string =>
  text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${c.codePointAt(0)?.toString(16)}}`);

export const row = (label: string, value: unknown): void => print(`  ${label.padEnd(15)} ${value}`);

/** What goes into a policy as it is. */
export function printReference(platform: 'sevSnp' | 'nitro', value: object): void {
  print(`\nFor ${platform}.referenceValues of a policy:\n${JSON.stringify(value, null, 2)}`);
}
