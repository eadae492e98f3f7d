import { bytes, sha256, utf8 } from '@veritee/protocol';
import { FakeLog } from '../support/fake-log.ts';

/** A log that every process makes the same: entry n depends on n alone. */
export class CrashLog extends FakeLog {
  constructor() {
    super({ seed: sha256(utf8('crash')), unsigned: true });
  }

  static receiptId(index: number) {
    return bytes(sha256(utf8(`receipt ${index}`)).subarray(0, 16), 16, 'receipt id');
  }

  extendTo(size: number): void {
    while (this.size < size) this.statement(CrashLog.receiptId(this.size), sha256(utf8(`digest ${this.size}`)));
  }
}
