#pragma once
/// Downloads to files.

#include <cstdint>
#include <filesystem>
#include <string>

/// Streams what `url` answers into the file `to`, which is there when it is whole; of what fails, nothing is left.
/// Takes memory for a piece, however large the file is.
/// @returns its size in bytes
/// @throws http::error; std::system_error  of connections and files
std::uint64_t download(std::string const& url, std::filesystem::path const& to);
