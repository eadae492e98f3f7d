export { type CheckChange, type Replay, replay, type Today, type VerdictText } from './replay.ts';
