/** Every refusal is a `CodedError`; `ClientError` is the client's own, with the verifier's result where it was a verdict. */
export { type Code, CodedError } from '@veritee/protocol';
export type { Attested } from './attestations.ts';
export {
  BROKER_LIMITS,
  Broker,
  type BrokerEvent,
  type BrokerLimits,
  type BrokerOptions,
  type BrokerResource,
} from './broker/broker.ts';
export type { BrokerFinding, TokenKey } from './broker/grant.ts';
export type { CallOptions } from './call.ts';
export { type InferResult, VeriteeClient } from './client.ts';
export { ClientError } from './errors.ts';
export type { ModelName, PrivateParts } from './exchange.ts';
export type { FetchInit } from './fetch.ts';
export type { AnswerOptions, ClientOptions, InferOptions, OnReceipt } from './options.ts';
export { type ProxyOptions, proxyHandler } from './proxy.ts';
export type { Receipt, ReceiptPart } from './receipt.ts';
export type { DirectoryHandle, SavePart, SaveTarget } from './save.ts';
export type { Fetch } from './service.ts';
export type { InferInput, InferOutput } from './tensors.ts';
