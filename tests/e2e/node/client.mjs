// Streams an answer from the router and sends a verdict on it, knowing nothing but the .proto files.
//   node client.mjs ROUTER_ADDRESS FEEDBACK_ADDRESS "a prompt"
import path from "node:path";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const [routerAddress, feedbackAddress, prompt] = process.argv.slice(2);
if (!prompt) {
  console.error('usage: node client.mjs ROUTER_ADDRESS FEEDBACK_ADDRESS "a prompt"');
  process.exit(2);
}

const protos = path.join(path.dirname(fileURLToPath(import.meta.url)), "../../../protos");
const definition = loader.loadSync(
  ["messplus/router/v1/router_service.proto", "messplus/feedback/v1/feedback_service.proto"],
  { includeDirs: [protos], keepCase: true, defaults: true, enums: String, longs: Number, oneofs: true },
);
const { messplus } = grpc.loadPackageDefinition(definition);
const credentials = grpc.credentials.createInsecure();
const router = new messplus.router.v1.RouterService(routerAddress, credentials);
const feedback = new messplus.feedback.v1.FeedbackService(feedbackAddress, credentials);
const deadline = () => ({ deadline: Date.now() + 60_000 });

async function answer() {
  const reply = { text: "" };
  const stream = router.Generate({ prompt: { text: prompt }, sampling: { max_tokens: 16 } }, deadline());
  for await (const message of stream) {
    if (message.decision) reply.decision = message.decision;
    if (message.delta) reply.text += message.delta.text;
    if (message.finished) reply.finished = message.finished;
  }
  return reply;
}

function submit({ decision }) {
  const verdict = { request_id: decision.request_id, decision_id: decision.decision_id, satisfied: true };
  return new Promise((resolve, reject) =>
    feedback.SubmitFeedback(verdict, deadline(), (error, receipt) => (error ? reject(error) : resolve(receipt))),
  );
}

try {
  const reply = await answer();
  const receipt = await submit(reply);
  console.log(JSON.stringify({ ...reply, receipt }));
} catch (error) {
  console.error(`${grpc.status[error.code] ?? "error"}: ${error.details ?? error.message}`);
  process.exitCode = 1;
} finally {
  router.close();
  feedback.close();
}
