#include <weft/runtime/exception_group.hpp>

#include <string>
#include <utility>

namespace weft::inline v0 {

namespace {

std::string text_of(std::exception_ptr const& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (std::exception const& e) {
    return e.what();
  } catch (cancelled const& c) {
    return std::string("cancelled (").append(to_string(c.reason())).append(")");
  } catch (...) {
    return "not a std::exception";
  }
}

std::string list_of(std::vector<std::exception_ptr> const& exceptions) {
  std::string list = std::to_string(exceptions.size()).append(exceptions.size() == 1 ? " failure" : " failures");
  char const* separator = ": ";
  for (auto const& exception : exceptions) {
    list.append(separator).append(text_of(exception));
    separator = "; ";
  }
  return list;
}

}  // namespace

exception_group::exception_group(std::vector<std::exception_ptr> exceptions)
    : error(list_of(exceptions)),
      exceptions_(std::make_shared<std::vector<std::exception_ptr> const>(std::move(exceptions))) {}

}  // namespace weft::inline v0
