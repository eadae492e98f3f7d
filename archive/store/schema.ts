import { CodedError } from '@veritee/protocol';

/** How an engine spells what the steps below leave open. */
export interface Dialect {
  readonly id: string;
  readonly int: string;
  readonly blob: string;
  /** Ends a table whose rows are addressed by a row number, and one whose rows are addressed by their primary key. */
  readonly byRow: string;
  readonly byKey: string;
}

/**
 * Forward-only: a step is never edited once released, and the stored version counts the steps that ran.
 * Indices of entries are `idx`, since `index` is a word of SQL; `boot` is the row of `boots`.
 */
export const MIGRATIONS: readonly ((sql: Dialect) => string)[] = [
  ({ id, int, blob, byRow, byKey }) => `
  CREATE TABLE identity (
    one ${int} PRIMARY KEY CHECK (one = 1),
    archive TEXT NOT NULL,
    public_key ${blob} NOT NULL CHECK (length(public_key) = 32)
  ) ${byRow};

  CREATE TABLE boots (
    id ${id},
    boot ${blob} NOT NULL UNIQUE CHECK (length(boot) = 16),
    source TEXT NOT NULL,
    session_claims ${blob} NOT NULL,
    platform TEXT,
    state TEXT NOT NULL CHECK (state IN ('open', 'ended', 'lost')),
    head_size ${int},
    head_root ${blob} CHECK (length(head_root) = 32),
    head_report_data ${blob} CHECK (length(head_report_data) = 64),
    first_seen_ms ${int} NOT NULL
  ) ${byRow};

  CREATE TABLE evidence (
    id ${id},
    boot ${int} NOT NULL REFERENCES boots (id),
    report_data ${blob} NOT NULL UNIQUE CHECK (length(report_data) = 64),
    size ${int} NOT NULL,
    root ${blob} NOT NULL CHECK (length(root) = 32),
    previous ${blob} CHECK (length(previous) = 64),
    parts ${blob} NOT NULL,
    certificates ${blob} NOT NULL,
    crls ${blob} NOT NULL,
    file ${blob} NOT NULL CHECK (length(file) = 32),
    platform TEXT,
    product TEXT,
    measurement TEXT,
    chip TEXT,
    tcb TEXT,
    existed_by_ms ${int},
    policy ${blob} NOT NULL,
    policy_digest ${blob} NOT NULL,
    anchors ${blob} NOT NULL,
    endorsements ${blob} NOT NULL,
    given_crls ${blob} NOT NULL,
    verifier TEXT NOT NULL,
    at_ms ${int} NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('affirming', 'contraindicated', 'unsupported')),
    codes TEXT NOT NULL,
    result ${blob} NOT NULL CHECK (length(result) = 32),
    result_json ${blob} NOT NULL,
    first_seen_ms ${int} NOT NULL
  ) ${byRow};
  CREATE INDEX evidence_by_size ON evidence (boot, size, id);

  CREATE TABLE entries (
    boot ${int} NOT NULL REFERENCES boots (id),
    idx ${int} NOT NULL,
    kind TEXT NOT NULL,
    leaf ${blob} NOT NULL CHECK (length(leaf) = 32),
    cose ${blob},
    purge ${int},
    CHECK ((cose IS NULL) = (purge IS NOT NULL))
  ) ${byRow};
  CREATE UNIQUE INDEX entries_by_place ON entries (boot, idx);
  CREATE INDEX entries_by_kind ON entries (boot, kind, idx) WHERE kind <> 'statement';

  CREATE TABLE models (
    id ${id},
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    digest ${blob} NOT NULL CHECK (length(digest) = 32),
    UNIQUE (name, version, digest)
  ) ${byRow};

  CREATE TABLE statements (
    boot ${int} NOT NULL REFERENCES boots (id),
    idx ${int} NOT NULL,
    receipt_id ${blob} NOT NULL CHECK (length(receipt_id) = 16),
    time_ms ${int} NOT NULL,
    model ${int} REFERENCES models (id),
    outcome TEXT NOT NULL,
    request_digest ${blob} NOT NULL,
    response_digest ${blob} NOT NULL,
    tenant TEXT,
    class TEXT NOT NULL,
    PRIMARY KEY (boot, idx)
  ) ${byKey};
  CREATE INDEX statements_by_receipt ON statements (receipt_id);
  CREATE INDEX statements_by_time ON statements (time_ms);
  CREATE INDEX statements_by_model ON statements (model, time_ms);
  CREATE INDEX statements_by_tenant ON statements (tenant, time_ms) WHERE tenant IS NOT NULL;
  CREATE INDEX statements_by_outcome ON statements (outcome, time_ms) WHERE outcome <> 'ok';

  CREATE TABLE nodes (
    boot ${int} NOT NULL REFERENCES boots (id),
    level ${int} NOT NULL CHECK (level >= 1),
    idx ${int} NOT NULL,
    hash ${blob} NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (boot, level, idx)
  ) ${byKey};

  CREATE TABLE attachments (
    boot ${int} NOT NULL REFERENCES boots (id),
    idx ${int} NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('private', 'request', 'response')),
    blob ${blob} NOT NULL CHECK (length(blob) = 32),
    PRIMARY KEY (boot, idx, role)
  ) ${byKey};
  CREATE INDEX attachments_by_blob ON attachments (blob);

  CREATE TABLE proofs (
    boot ${int} NOT NULL REFERENCES boots (id),
    idx ${int} NOT NULL,
    report_data ${blob} NOT NULL CHECK (length(report_data) = 64),
    path ${blob} NOT NULL,
    PRIMARY KEY (boot, idx)
  ) ${byKey};

  CREATE TABLE acts (
    idx ${int} PRIMARY KEY,
    kind TEXT NOT NULL,
    leaf ${blob} NOT NULL CHECK (length(leaf) = 32),
    cose ${blob} NOT NULL
  ) ${byRow};
  CREATE INDEX acts_by_kind ON acts (kind, idx);

  CREATE TABLE act_head (
    one ${int} PRIMARY KEY CHECK (one = 1),
    size ${int} NOT NULL,
    root ${blob} NOT NULL,
    note TEXT NOT NULL
  ) ${byRow};

  CREATE TABLE findings (
    id ${id},
    code TEXT NOT NULL,
    severity TEXT NOT NULL,
    boot TEXT NOT NULL,
    idx ${int} NOT NULL,
    object TEXT NOT NULL,
    text TEXT NOT NULL,
    act ${int} NOT NULL,
    first_seen_ms ${int} NOT NULL,
    UNIQUE (code, boot, idx, object)
  ) ${byRow};
  `,
];

export const newer = (version: number): CodedError =>
  new CodedError(
    'STORE_NEWER',
    `the archive has schema ${version}; this release reads up to ${MIGRATIONS.length}: use the later release`,
    { field: 'archive' },
  );

export const notMigrated = (version: number): CodedError =>
  new CodedError(
    'ARCHIVE_INVALID',
    `the archive has schema ${version}, this release ${MIGRATIONS.length}: open it for writing once, which upgrades it`,
    { field: 'archive' },
  );
