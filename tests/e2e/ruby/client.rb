# Streams an answer from the router and sends a verdict on it, with code generated from the .proto files alone.
#   ruby -I GENERATED client.rb ROUTER_ADDRESS FEEDBACK_ADDRESS "a prompt"
require "json"
require "messplus/router/v1/router_service_services_pb"
require "messplus/feedback/v1/feedback_service_services_pb"

Common, Router, Feedback = Messplus::Common::V1, Messplus::Router::V1, Messplus::Feedback::V1

router_address, feedback_address, prompt = ARGV
abort 'usage: ruby client.rb ROUTER_ADDRESS FEEDBACK_ADDRESS "a prompt"' unless prompt

begin
  router = Router::RouterService::Stub.new(router_address, :this_channel_is_insecure, timeout: 60)
  request = Router::GenerateRequest.new(
    prompt: Common::Prompt.new(text: prompt), sampling: Common::SamplingParameters.new(max_tokens: 16)
  )
  text, decision, finished = +"", nil, nil
  router.generate(request).each do |response|
    decision ||= response.decision
    finished = response.finished || finished
    text << response.delta.text if response.delta
  end

  feedback = Feedback::FeedbackService::Stub.new(feedback_address, :this_channel_is_insecure, timeout: 60)
  receipt = feedback.submit_feedback(
    Feedback::SubmitFeedbackRequest.new(
      request_id: decision.request_id, decision_id: decision.decision_id, satisfied: true
    )
  )
  puts JSON.generate(
    text: text, model: decision.model_id, joules: finished.energy.energy_joules, satisfaction: receipt.satisfaction
  )
rescue GRPC::BadStatus => error
  abort "#{error.class.name.split('::').last}: #{error.details}"
end
