export { type Hold, hold, holdsInForce, release } from './holds.ts';
export { finishPurges, type Purged, type PurgeOptions, purgeExpired, purgeScope } from './purge.ts';
export { parseRetentionRules, type RetentionRule, retentionInForce, setRetention } from './rules.ts';
export { countIn, type ScopeInput, scopeOf, scopeToJson } from './scope.ts';
