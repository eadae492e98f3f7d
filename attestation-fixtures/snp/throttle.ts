/** `cloud`: 8 ms a report, and every tenth waits 10 s, as third parties measured on a cloud's SEV-SNP guests. */
export type Throttle = 'none' | 'cloud';

export type Sleep = (milliseconds: number) => Promise<unknown>;

/** To be awaited before each report. */
export function throttle(kind: Throttle, sleep: Sleep): () => Promise<void> {
  let reports = 0;
  return async () => {
    if (kind === 'none') return;
    reports += 1;
    await sleep(reports % 10 === 0 ? 10_000 : 8);
  };
}
