/** The parts an audit is cut into: each reads its own stretch of the archive and needs nothing but what its task says. */
import { CodedError } from '@veritee/protocol';
import type { Archive } from '../archive.ts';
import { type BlobAnswer, type BlobTask, blobPass } from './blob-pass.ts';
import { type EntryAnswer, type EntryTask, entryPass } from './entry-pass.ts';
import { type EvidenceAnswer, EvidencePass, type EvidenceTask } from './evidence-pass.ts';
import { type HashAnswer, type HashTask, hashPass } from './hash-pass.ts';
import { isUnreadable } from './unreadable.ts';

export type Task = HashTask | EntryTask | EvidenceTask | BlobTask;
export type Answer = HashAnswer | EntryAnswer | EvidenceAnswer | BlobAnswer;
export type AnswerTo<T extends Task> = Extract<Answer, { readonly pass: T['pass'] }>;

export class Performer {
  readonly #archive: Archive;
  readonly #evidence: EvidencePass;

  constructor(archive: Archive) {
    this.#archive = archive;
    this.#evidence = new EvidencePass(archive.store, archive.blobs);
  }

  /** @throws CodedError STORE_FAILED rows of the stretch cannot be read */
  async perform<T extends Task>(task: T): Promise<AnswerTo<T>> {
    try {
      return (await this.#perform(task)) as AnswerTo<T>;
    } catch (error) {
      if (error instanceof CodedError && error.code === 'STORE_FAILED') throw error;
      if (!isUnreadable(error)) throw error;
      throw new CodedError('STORE_FAILED', `rows that cannot be read: ${error.message}`, {
        field: 'store',
        cause: error,
      });
    }
  }

  #perform(task: Task): Promise<Answer> {
    switch (task.pass) {
      case 'hash':
        return hashPass(this.#archive.store, task);
      case 'entries':
        return entryPass(this.#archive.store, task);
      case 'evidence':
        return this.#evidence.run(task);
      case 'blobs':
        return blobPass(this.#archive.blobs, task);
    }
  }
}
