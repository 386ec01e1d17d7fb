// Reading whole files, and writing them so that a reader or a crash never sees half of one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct stat;  // the system's

namespace cuclip {

/// Whether there is something at `path`, and whether it is a folder. False where the system cannot tell: what
/// a user typed may not be a path at all (longer than a name can be), or may lie in a folder that the user
/// has no right to enter.
bool path_exists(const std::filesystem::path& path);
bool is_folder(const std::filesystem::path& path);

/// Makes a folder, with those on the way. Throws Error naming it, as "the {what}", and the system's reason.
void make_folder(const std::filesystem::path& folder, std::string_view what = "folder");

/// The limit for one picture, list, caption or configuration (1 GiB): anything larger is something else.
constexpr int64_t kMaxReadBytes = int64_t{1} << 30;

enum class Pipes { refused, allowed };

/// The whole of a regular file. One may wait for a pipe for ever, and a device has no end: a device is
/// refused, and so is a pipe unless it is allowed (one that nobody writes into is empty). Throws InputError
/// naming the file and the reason, also when there are more than max_bytes.
std::string read_file(const std::filesystem::path& path, int64_t max_bytes = kMaxReadBytes,
                      Pipes pipes = Pipes::refused);

/// What the system says of a file: where it is the same, one takes the contents to be the same too.
struct FileStamp {
  int64_t bytes = 0;
  int64_t mtime_ns = 0;  // the last change, in nanoseconds since 1970

  bool operator==(const FileStamp&) const = default;
};
FileStamp stamp_of(const struct ::stat& info);

struct StampedContents {
  std::string contents;
  FileStamp stamp;
};

/// read_file for a folder that others work in: the stamp is that of the contents. Throws InputError too where
/// the file changes while it is read.
StampedContents read_stamped_file(const std::filesystem::path& path, int64_t max_bytes = kMaxReadBytes);

/// What is left to read from an open file, which messages call `name`. Throws InputError as read_file does.
std::string read_to_end(int fd, const std::string& name, int64_t max_bytes = kMaxReadBytes);

/// Some of what is left, as soon as there is any; empty only at the end.
std::string read_some(int fd, const std::string& name);

/// Writes `path`, or what it leads to where it is a symbolic link (which need not be there yet), through a
/// temporary file in the same folder, NAME.tmp-XXXXXX: write, fsync, rename, fsync the folder. The old file
/// stays as it was when anything fails, and its permissions are kept; a new one has those that the umask
/// leaves. Throws Error naming the file and the system's reason, also if something other than a regular file
/// is there: a folder is not replaced, nor is a device.
void write_file_atomic(const std::filesystem::path& path, std::string_view contents);

/// The same for contents that come in pieces: `write` is called with a sink that takes bytes.
using ByteSink = std::function<void(std::span<const std::byte>)>;
void write_file_atomic(const std::filesystem::path& path, const std::function<void(const ByteSink&)>& write);

/// A file that has been written and synced beside its place, as write_file_atomic does it, and waits to be
/// put there: for files that change together. Until commit() the old file is there; without it the new one is
/// removed.
class PendingFile {
 public:
  PendingFile(const std::filesystem::path& path, const std::function<void(const ByteSink&)>& write);
  PendingFile(const std::filesystem::path& path, std::string_view contents);
  PendingFile(PendingFile&&) noexcept;
  PendingFile& operator=(PendingFile&&) noexcept;
  ~PendingFile();

  /// Once. Throws Error naming the file and the system's reason.
  void commit();

 private:
  std::filesystem::path target_;
  std::unique_ptr<struct TemporaryFile> file_;
};

/// Makes and removes the temporary file that a write to `path` would begin with: tells whether a file could
/// be written, before the work and not after it (access() knows nothing about file systems that take no
/// files). Throws Error.
void try_to_write(const std::filesystem::path& path);

/// Appends `text`, in one write where the system takes it whole. When the system does not take all of it,
/// what was written is cut off again; when it reports only on closing that it could not keep it, the contents
/// of the file are unknown. Throws Error naming the file and the system's reason.
void append_to_file(const std::filesystem::path& path, std::string_view text);

/// Makes what was renamed or made in a folder survive a power cut. Does nothing where the file system cannot;
/// throws Error when the disk fails.
void sync_folder(const std::filesystem::path& folder);

/// True for NAME.tmp-XXXXXX: a temporary file of write_file_atomic(NAME) that a kill left behind.
bool is_temporary_of(const std::filesystem::path& file, std::string_view name);

/// Removes what kills left behind of files whose names `is_ours` says yes to, for whoever knows that nobody
/// else is writing there (FileLock). Throws Error naming the file.
void remove_temporaries(const std::filesystem::path& folder,
                        const std::function<bool(const std::string& name)>& is_ours);

/// Ends the process immediately, from any thread, and leaves no temporary file of write_file_atomic behind:
/// what was being written is not there, what was written is whole. Nothing else is tidied up.
[[noreturn]] void abandon_writes_and_exit(int exit_code);

}  // namespace cuclip
