// What a file's name says about it.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace cuclip {

/// With ASCII letters in lower case; everything else stays as it is.
std::string lower_ascii(std::string_view text);

/// What comes after the last "/" of a name.
std::string_view last_part(std::string_view name);

/// The extension in lower case, with its dot: "a/B.JPG" -> ".jpg"; empty where there is none.
std::string lower_extension(std::string_view name);

/// The extensions of picture files, in lower case with their dots. Which of them hold a picture that this
/// build can read is found when they are decoded (models/image/image_decode.h).
std::span<const std::string_view> picture_extensions();

/// What data sets read, by an extension in lower case with its dot: captions are .txt and .json.
bool is_picture_extension(std::string_view extension);
bool is_caption_extension(std::string_view extension);

/// is_picture_extension of lower_extension.
bool has_picture_extension(std::string_view name);

/// Whether the last part of a name is what a system leaves beside people's files: hidden files and folders
/// ("._a.jpg", ".thumbnails", ".ipynb_checkpoints") and those that other systems keep without a dot
/// ("@eaDir", "__MACOSX"). Such files may have the names of pictures without being pictures.
bool is_leftover(std::string_view name);

/// Whether one of the folders in a name is known to hold only leftovers: "a/@eaDir/b.jpg". Other hidden
/// folders may be where a user's archive was packed ("home/me/.cache/pairs/1.jpg").
bool lies_in_leftovers(std::string_view name);

}  // namespace cuclip
