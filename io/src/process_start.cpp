#include "process_start.hpp"

#include "process_state.hpp"

#include <weft/io/pipe.hpp>
#include <weft/runtime/environment.hpp>
#include <weft/runtime/error.hpp>
#include <weft/runtime/offload.hpp>

#include <algorithm>
#include <cstdlib>
#include <fcntl.h>
#include <memory>
#include <unistd.h>

namespace weft::inline v0::io {

namespace {

using step = detail::child_plan::step;

constexpr std::array stream_names{"standard input", "standard output", "standard error"};

std::string_view name_of(std::string_view variable) noexcept { return variable.substr(0, variable.find('=')); }

bool is_variable(std::string_view text) noexcept {
  auto const name = name_of(text);
  return !name.empty() && name.size() != text.size();
}

/// What execve() takes, which changes none of it.
std::vector<char*> pointers_to(std::vector<std::string> const& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (auto const& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

bool has_nul(std::string_view text) noexcept { return text.find('\0') != std::string_view::npos; }

}  // namespace

process_start::process_start(std::vector<std::string> const& argv, process_options const& options)
    : argv_(argv), options_(options), redirections_{&options.in, &options.out, &options.err} {
  if (!options.program.empty()) {
    program_ = options.program;
  } else if (!argv.empty()) {
    program_ = argv.front();
  }
}

process_start::~process_start() {
  for (auto const* r : redirections_) {
    if (r->given_ != nullptr) r->given_->close();
  }
}

bool process_start::refuse(std::error_code& ec, std::string_view why) {
  ec = std::make_error_code(std::errc::invalid_argument);
  what_.append(": ").append(why);
  return false;
}

bool process_start::check(std::error_code& ec) {
  what_ = "starting a process";
  if (argv_.empty()) return refuse(ec, "it has no arguments, of which the first is its name");
  if (has_nul(program_)) return refuse(ec, "the program's name has a NUL in it");
  what_ = std::string("starting '").append(program_).append("'");
  for (std::size_t i = 0; i < argv_.size(); ++i) {
    if (has_nul(argv_[i])) return refuse(ec, std::string("there is a NUL in argument ").append(std::to_string(i)));
  }
  if (has_nul(options_.directory)) return refuse(ec, "the directory's name has a NUL in it");
  for (auto const& variable : variables_) {
    if (has_nul(variable) || !is_variable(variable)) {
      return refuse(ec, "a variable of its environment has no name, or a NUL in it");
    }
  }
  for (auto const* r : redirections_) {
    if (has_nul(r->path_)) return refuse(ec, "the name of a file for its streams has a NUL in it");
  }
  for (auto const* r : {&options_.in, &options_.out}) {
    if (r->kind_ == redirection::kind::to_stdout) return refuse(ec, "only standard error can go to standard output");
  }
  return true;
}

void process_start::look_up_program() {
  if (program_.find('/') != std::string::npos || program_.empty()) {
    candidates_.push_back(program_);
  } else {
    char const* const path = std::getenv("PATH");
    std::string_view left = path != nullptr ? path : "/bin:/usr/bin";
    for (bool more = true; more;) {
      auto const end = left.find(':');
      std::string directory{left.substr(0, end)};
      more = end != std::string_view::npos;
      if (more) left.remove_prefix(end + 1);
      if (!directory.empty()) directory.append("/");
      candidates_.push_back(directory.append(program_));
    }
  }
  for (auto const& c : candidates_) candidate_pointers_.push_back(c.c_str());
  candidate_pointers_.push_back(nullptr);
  plan_.candidates = candidate_pointers_.data();
}

void process_start::put_together_environment() {
  if (options_.environment) {
    for (auto const& [name, value] : *options_.environment)
      variables_.push_back(std::string(name).append("=").append(value));
  } else {
    for (char** v = ::environ; v != nullptr && *v != nullptr; ++v) {
      if (is_variable(*v)) variables_.emplace_back(*v);  // who started us may have left anything there
    }
  }
  auto const& changes = options_.environment_changes;
  std::erase_if(variables_, [&](std::string const& v) { return changes.contains(std::string(name_of(v))); });
  for (auto const& [name, value] : changes) {
    if (value) variables_.push_back(std::string(name).append("=").append(*value));
  }
}

bool process_start::prepare(int n, std::error_code& ec) {
  using kind = redirection::kind;
  auto const i = static_cast<std::size_t>(n);
  redirection const& wanted = *redirections_[i];
  source& from = plan_.standard[i];
  switch (wanted.kind_) {
    case kind::usual:
    case kind::inherit: break;
    case kind::null: from = {.what = source::kind::opened, .path = "/dev/null", .flags = O_RDWR}; break;
    case kind::read_file: from = {.what = source::kind::opened, .path = wanted.path_.c_str(), .flags = O_RDONLY}; break;
    case kind::write_file:
      from = {.what = source::kind::opened, .path = wanted.path_.c_str(), .flags = O_WRONLY | O_CREAT | O_TRUNC};
      break;
    case kind::append_file:
      from = {.what = source::kind::opened, .path = wanted.path_.c_str(), .flags = O_WRONLY | O_CREAT | O_APPEND};
      break;
    case kind::descriptor: from = {.what = source::kind::copied, .fd = wanted.descriptor_}; break;
    case kind::given:
      from = {.what = source::kind::copied, .blocking = true, .fd = wanted.given_->native_handle()};
      break;
    case kind::to_stdout: from.what = source::kind::as_output; break;
    case kind::pipe: {
      auto ends = io::pipe(ec);
      if (ec) {
        what_.append(": making a pipe for its ").append(stream_names[i]);
        return false;
      }
      bool const reads = n == STDIN_FILENO;
      its_ends_[i] = std::move(reads ? ends.reader : ends.writer);
      our_ends_[i] = std::move(reads ? ends.writer : ends.reader);
      from = {.what = source::kind::copied, .blocking = true, .fd = its_ends_[i].native_handle()};
      break;
    }
  }
  return true;
}

void process_start::tell_failure() {
  auto const n = static_cast<std::size_t>(plan_.failed_with);
  switch (plan_.failed_at) {
    case step::make:
    case step::execute: break;
    case step::group: what_.append(": making a process group"); break;
    case step::open:
      what_.append(": opening '").append(plan_.standard[n].path).append("' for its ").append(stream_names[n]);
      break;
    case step::descriptor: what_.append(": preparing its ").append(stream_names[n]); break;
    case step::others: what_.append(": closing what it is not to have"); break;
    case step::directory: what_.append(" in '").append(options_.directory).append("'"); break;
  }
}

process process_start::run(std::error_code& ec) {
  detail::check_cancelled();
  if (environment const* const world = detail::current_environment(); world != nullptr && world->closed()) {
    throw error("weft: processes belong to the world outside, and cannot be started in a simulation");
  }
  put_together_environment();
  if (!check(ec)) return {};
  look_up_program();
  argument_pointers_ = pointers_to(argv_);
  variable_pointers_ = pointers_to(variables_);
  plan_.argv = argument_pointers_.data();
  plan_.environment = variable_pointers_.data();
  plan_.directory = options_.directory.empty() ? nullptr : options_.directory.c_str();
  plan_.group = options_.group;
  for (int n = 0; n < 3; ++n) {
    if (!prepare(n, ec)) return {};
  }

  process made;
  made.state_ = std::make_unique<process::state>(program_, options_.group != process_group::inherited);
  auto& calls = detail::current_calls();
  int number = -1;
  int pidfd = -1;
  try {
    offload_blocking([&](std::stop_token stop) {
      plan_.stop = std::move(stop);
      number = calls.start_process(plan_, pidfd);
    });
  } catch (...) {
    if (number >= 0) made.take(number, pidfd, calls);  // to end it
    throw;
  }
  if (number < 0) {
    ec = detail::system_error_of(number);
    tell_failure();
    return {};
  }
  made.take(number, pidfd, calls);
  made.in_ = std::move(our_ends_[0]);
  made.out_ = std::move(our_ends_[1]);
  made.err_ = std::move(our_ends_[2]);
  ec.clear();
  return made;
}

}  // namespace weft::inline v0::io
