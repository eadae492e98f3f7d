import { CodedError } from '@veritee/protocol';
import type Database from 'better-sqlite3';

/**
 * Forward-only: `user_version` counts the steps that ran, a step is never edited once released.
 *
 * A tile row is a full C2SP tile, and its `root` is one hash of the tile level above. So every node at a multiple of
 * eight levels is one row (a leaf or a root), the unfinished tiles at the right edge are ranges of such rows, and
 * nothing of the tree is ever updated or deleted.
 */
const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE boots (
    id INTEGER PRIMARY KEY,
    boot BLOB NOT NULL UNIQUE CHECK (length(boot) = 16),
    link TEXT NOT NULL,
    first_seen_ms INTEGER NOT NULL,
    ended TEXT CHECK (ended IN ('clean', 'lost'))
  ) STRICT;

  CREATE TABLE entries (
    boot INTEGER NOT NULL REFERENCES boots (id),
    idx INTEGER NOT NULL,
    kind TEXT NOT NULL,
    leaf BLOB NOT NULL CHECK (length(leaf) = 32),
    cose BLOB NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX entries_by_place ON entries (boot, idx);
  CREATE INDEX entries_by_kind ON entries (boot, kind, idx) WHERE kind <> 'statement';

  CREATE TABLE receipts (
    receipt_id BLOB PRIMARY KEY CHECK (length(receipt_id) = 16),
    boot INTEGER NOT NULL REFERENCES boots (id),
    idx INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE tiles (
    boot INTEGER NOT NULL REFERENCES boots (id),
    level INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    root BLOB NOT NULL CHECK (length(root) = 32),
    hashes BLOB NOT NULL CHECK (length(hashes) = 8192)
  ) STRICT;
  CREATE UNIQUE INDEX tiles_by_place ON tiles (boot, level, idx);

  CREATE TABLE evidence (
    id INTEGER PRIMARY KEY,
    boot INTEGER NOT NULL REFERENCES boots (id),
    report_data BLOB NOT NULL UNIQUE CHECK (length(report_data) = 64),
    size INTEGER NOT NULL,
    stored_ms INTEGER NOT NULL,
    note TEXT NOT NULL,
    file BLOB NOT NULL
  ) STRICT;
  CREATE INDEX evidence_by_size ON evidence (boot, size, id);
  `,
];

/** @throws CodedError STORE_NEWER written by a later release */
export function migrate(db: Database.Database): void {
  const version = Number(db.pragma('user_version', { simple: true }));
  if (version > MIGRATIONS.length) {
    throw new CodedError(
      'STORE_NEWER',
      `the data folder has schema ${version}; this release reads up to ${MIGRATIONS.length}: use the later release`,
      { field: 'data' },
    );
  }
  for (const [step, sql] of MIGRATIONS.entries()) {
    if (step < version) continue;
    db.transaction(() => {
      db.exec(sql);
      db.pragma(`user_version = ${step + 1}`);
    }).immediate();
  }
}
