/** Steps 7 and 8 of the list in docs/formats.md: the statement, and where it stands in the log. */
import {
  equalBytes,
  type Hash,
  hex,
  leafHash,
  rootFromInclusion,
  type Statement,
  verifySign1,
} from '@veritee/protocol';
import { statementFacts } from '../appraise/claims.ts';
import { CheckFailure, type CheckLog, type CheckRow, type Strength } from '../checks.ts';
import type { ParsedEntry } from './parse.ts';
import type { VerifiedSession } from './session.ts';

const RECEIPT = ['receipt'] as const;

export const STATEMENT_ROWS: readonly CheckRow[] = [
  { id: 'statement.signature', claim: 'statement', source: 'RFC 9052 §4.4, under cnf', kinds: RECEIPT },
  { id: 'statement.session', claim: 'session claims digest', source: 'docs/formats.md, statement', kinds: RECEIPT },
  { id: 'statement.model', claim: 'model and outcome', source: 'docs/formats.md, statement', kinds: RECEIPT },
  { id: 'inclusion.path', claim: 'inclusion under the checkpoint', source: 'RFC 9162 §2.1.3.2', kinds: RECEIPT },
];

/** @throws EvidenceError STATEMENT_INVALID, INCLUSION_INVALID, INCLUSION_MISSING */
export async function verifyStatement(
  entry: Omit<ParsedEntry<Statement>, 'path'>,
  path: readonly Hash[] | null,
  session: VerifiedSession,
  log: CheckLog,
): Promise<Strength> {
  const statement = entry.value;
  await log.step(
    'statement.signature',
    async () => {
      if (await verifySign1(entry.message, session.key)) return;
      throw new CheckFailure('STATEMENT_INVALID', 'a signature by the session key', 'another', { field: 'statement' });
    },
    () => 'signed by the session key',
  );
  log.step(
    'statement.session',
    () => {
      if (equalBytes(statement.sessionDigest, session.digest)) return;
      throw new CheckFailure('STATEMENT_INVALID', hex(session.digest), hex(statement.sessionDigest), {
        field: 'statement.sessionDigest',
      });
    },
    () => hex(session.digest),
  );
  log.step(
    'statement.model',
    () => {
      if (statement.outcome !== 'ok' || statement.model) return;
      throw new CheckFailure('STATEMENT_INVALID', 'the model that gave the answer', 'none', {
        field: 'statement.model',
      });
    },
    () => (statement.model ? `${statement.model.name}/${statement.model.version}` : 'refused before any model ran'),
  );
  const strength = log.step(
    'inclusion.path',
    () => strengthOf(entry.raw, statement.sequence, path, session),
    (found) =>
      found === 'hardware-committed'
        ? `entry ${statement.sequence} of ${session.checkpoint.size}`
        : `entry ${statement.sequence} comes after the checkpoint of ${session.checkpoint.size}: session-signed`,
  );
  log.establish({ strength, claims: statementFacts(statement) });
  return strength;
}

/** A sequence below the size without a valid path is a refusal, never a weaker yes. */
function strengthOf(
  raw: Uint8Array,
  sequence: number,
  path: readonly Hash[] | null,
  { checkpoint: { size, root } }: VerifiedSession,
): Strength {
  const field = 'receipt.path';
  if (sequence >= size) {
    if (path === null) return 'session-signed';
    const expected = `no path: entry ${sequence} is not among the ${size} entries of the checkpoint`;
    throw new CheckFailure('INCLUSION_INVALID', expected, `a path of ${path.length} hashes`, { field });
  }
  const expected = `a path from entry ${sequence} to the root over ${size} entries`;
  if (path === null) throw new CheckFailure('INCLUSION_MISSING', expected, 'none', { field });
  const reached = rootFromInclusion(leafHash(raw), sequence, size, path);
  if (!reached || !equalBytes(reached, root)) {
    const actual = reached ? `one that leads to ${hex(reached)}` : `${path.length} hashes, not the right number`;
    throw new CheckFailure('INCLUSION_MISSING', expected, actual, { field });
  }
  return 'hardware-committed';
}
