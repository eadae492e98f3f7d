import pino from 'pino';
import type { Attester, PlatformEvidence } from '../../enclave/attester/attester.ts';
import { Challenges } from '../../enclave/challenges.ts';
import { EnclaveLog } from '../../enclave/log.ts';
import { Outbox, type OutboxLimits } from '../../enclave/outbox.ts';
import { startSession } from '../../enclave/session.ts';
import { FRAME, type Frame, FrameReader } from '../../protocol/link.ts';

export const silent = pino({ level: 'silent' });
export const runtime = { application: 'veritee/test', node: 'v20', onnxruntime: '1.30.0', executionProvider: 'cpu' };

/** A log with everything around it that needs no hardware. */
export function makeLog(limits: OutboxLimits = { maxRecords: 1000, maxBytes: 1 << 24 }, now = () => 1_700_000_000_000) {
  const session = startSession(runtime, now);
  const outbox = new Outbox(limits);
  const log = new EnclaveLog(session, outbox);
  return { session, outbox, log, challenges: new Challenges(log, now), keys: noKeys };
}

const noKeys = { inForce: [], covered: () => undefined };

/** Everything the outbox holds now, as frames. */
export async function framesOf(outbox: Outbox): Promise<Frame[]> {
  const reader = new FrameReader();
  const frames: Frame[] = [];
  for await (const chunk of outbox.stream(outbox.acknowledged, 1)) {
    frames.push(...reader.push(chunk));
    if (frames.some((frame) => frame.type === FRAME.heartbeat)) break;
  }
  return frames.filter((frame) => frame.type !== FRAME.heartbeat);
}

/** A platform that answers with the REPORT_DATA it was given, when it is let. */
export class FakeAttester implements Attester {
  readonly platform = 'fake';
  readonly warning = null;
  readonly format = 'sev-snp-report';
  minIntervalMs = 1;
  readonly asked: Uint8Array[] = [];
  inFlight = 0;
  mostInFlight = 0;
  answer: (reportData: Uint8Array) => Promise<PlatformEvidence> = async (reportData) => ({
    report: new Uint8Array(reportData),
    chain: [],
    crls: [],
  });

  async attest(reportData: Uint8Array): Promise<PlatformEvidence> {
    this.asked.push(reportData);
    this.inFlight += 1;
    this.mostInFlight = Math.max(this.mostInFlight, this.inFlight);
    try {
      return await this.answer(reportData);
    } finally {
      this.inFlight -= 1;
    }
  }
}

export async function until(holds: () => boolean, what: string, withinMs = 10_000): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
