/** An archive with the log of a mini enclave in it, written row by row: what the outputs of an archive are tested on. */

import { type Archive, openArchive } from '../../archive/archive.ts';
import { takeApart } from '../../archive/evidence-parts.ts';
import { type AppraisalInputs, Appraiser } from '../../archive/ingest/appraiser.ts';
import { type ReadEntry, readEvidenceFile, SessionVerifier, statementRow } from '../../archive/ingest/session.ts';
import { bootField } from '../../archive/log/acts.ts';
import { Frontier } from '../../archive/log/frontier.ts';
import type { ArchiveSettings } from '../../archive/settings.ts';
import type { AttachmentRow, NodeRow } from '../../archive/store/port.ts';
import { bootIdOf, hex, utf8 } from '../../protocol/index.ts';
import { type Answer, AT, MiniEnclave, type Tick } from '../support/mini-enclave.ts';
import { strictPolicy } from '../support/policies.ts';

/** Beside which the simulated root is given as an anchor of its own. */
export const POLICY = utf8(JSON.stringify(strictPolicy()));

export interface Filed {
  readonly tenant: string | null;
  readonly retentionClass: string;
}

export const open = (folder: string, create?: ArchiveSettings, now = () => AT.getTime()): Promise<Archive> =>
  openArchive({ folder, mode: 'write' }, { by: 'tester', now, ...(create ? { create } : {}) });

/** Follows one enclave's log into an archive, as far as each tick. */
export class Filler {
  readonly #archive: Archive;
  readonly #appraiser: Appraiser;
  readonly #frontier = Frontier.empty();
  readonly enclave: MiniEnclave;
  readonly boot: string;
  readonly answers: Answer[] = [];

  private constructor(archive: Archive, enclave: MiniEnclave, appraiser: Appraiser, boot: string) {
    this.#archive = archive;
    this.enclave = enclave;
    this.#appraiser = appraiser;
    this.boot = boot;
  }

  static async start(archive: Archive, change: (good: AppraisalInputs) => AppraisalInputs = (good) => good) {
    const enclave = new MiniEnclave();
    const { root } = await new MiniEnclave().tick();
    const inputs = { policy: utf8('builtin:authenticity'), anchors: [root], endorsements: [], crls: [] };
    const appraiser = await Appraiser.create(change(inputs), archive.blobs);
    return new Filler(archive, enclave, appraiser, hex(bootIdOf(enclave.session.key)));
  }

  /** So many inferences, then a tick that covers them, then all of it into the archive. */
  async add(count: number, filed: Filed, options: { readonly timeMs?: number; readonly private?: boolean } = {}) {
    const made: Answer[] = [];
    for (let i = 0; i < count; i++) {
      const timeMs = options.timeMs;
      made.push(
        await this.enclave.infer(timeMs === undefined ? {} : { change: (good) => ({ ...good, timeMs: timeMs + i }) }),
      );
    }
    this.answers.push(...made);
    const tick = await this.enclave.tick();
    await this.#ingest(tick, filed);
    if (options.private) await this.#attach(made);
    return { made, tick };
  }

  async #ingest(tick: Tick, filed: Filed): Promise<void> {
    const { file, evidence, checkpoint, session, boot, reportData } = await readEvidenceFile(tick.file);
    const verifier = new SessionVerifier(evidence.sessionClaims, session);
    const from = this.#frontier.size;
    const read: ReadEntry[] = [];
    const nodes: NodeRow[] = [];
    for (let index = from; index < tick.size; index++) {
      const one = verifier.verify(this.enclave.log.entries[index]!, index);
      read.push(one);
      for (const { level, index: at, hash } of this.#frontier.append(one.row.leaf)) {
        if (level % 8 === 0) nodes.push({ boot, level: level / 8, index: at, hash });
      }
    }
    const atMs = this.#archive.now();
    const { appraisal, facts, resultJson } = await this.#appraiser.appraise(file, atMs);
    const parts = await takeApart(file, evidence, this.#archive.blobs);
    const known = await this.#archive.store.boot(boot);
    await this.#archive.record(
      [
        {
          kind: 'ingest',
          source: 'test',
          boot: bootField(boot),
          from,
          to: tick.size,
          root: checkpoint.root,
          reportData,
          evidence: parts.file,
          appraisal,
          ...filed,
        },
      ],
      () => ({
        boots: [
          {
            boot,
            source: 'test',
            sessionClaims: evidence.sessionClaims,
            platform: facts.platform,
            state: 'open',
            head: { size: checkpoint.size, root: checkpoint.root, reportData },
            firstSeenMs: known?.firstSeenMs ?? atMs,
          },
        ],
        evidence: [
          {
            boot,
            reportData,
            size: checkpoint.size,
            root: checkpoint.root,
            previousReportData: evidence.previousReportData,
            ...parts,
            facts,
            appraisal,
            resultJson,
            firstSeenMs: atMs,
          },
        ],
        entries: read.map(({ row }) => row),
        statements: read.flatMap((one) => statementRow(one, filed) ?? []),
        nodes,
      }),
    );
  }

  async #attach(answers: readonly Answer[]): Promise<void> {
    const { blobs } = this.#archive;
    const attachments: AttachmentRow[] = [];
    for (const { sequence: index, request, response } of answers) {
      const salts = JSON.stringify({ requestSalt: hex(request.salt), responseSalt: hex(response.salt) });
      attachments.push(
        { boot: this.boot, index, role: 'private', blob: await blobs.put(utf8(salts)) },
        { boot: this.boot, index, role: 'request', blob: await blobs.put(request.body) },
        { boot: this.boot, index, role: 'response', blob: await blobs.put(response.body) },
      );
    }
    await this.#archive.record(
      [
        {
          kind: 'deposit',
          source: 'test',
          boot: bootField(this.boot),
          evidence: null,
          entries: [],
          attachments: attachments.map(({ index, role, blob }) => ({ index, role, blob })),
          tenant: null,
          retentionClass: 'default',
        },
      ],
      () => ({ attachments }),
    );
  }
}
