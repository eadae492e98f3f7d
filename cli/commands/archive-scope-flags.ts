/** The flags that say which receipts a verb of the archive is about; every given one must match. */
import type { Command } from 'commander';

export interface ScopeFlags {
  readonly receipt: readonly string[];
  readonly boot?: string;
  readonly from?: string;
  readonly to?: string;
  readonly tenant?: string;
  readonly model?: string;
  readonly modelDigest?: string;
  readonly outcome?: string;
  readonly class?: string;
}

const collect = (value: string, before: readonly string[]): string[] => [...before, value];

export const addScope = (command: Command): Command =>
  command
    .option('--receipt <hex>', 'a receipt, repeatable', collect, [])
    .option('--boot <hex>', 'receipts of this boot')
    .option('--from <time>', 'claimed at this time or later, RFC 3339')
    .option('--to <time>', 'claimed before this time, RFC 3339')
    .option('--tenant <name>', 'of this tenant')
    .option('--model <name>', 'of this model')
    .option('--model-digest <hex>', 'of the model with this digest')
    .option('--outcome <code>', 'with this outcome, for example ok')
    .option('--class <name>', 'of this retention class');
