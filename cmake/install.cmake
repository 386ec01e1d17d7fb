# What `cmake --install` puts where, so that find_package(cuclip) works from outside.
install(TARGETS cuclip_kernels cuclip_core cuclip_models EXPORT cuclipTargets)
install(TARGETS cuclip_train EXPORT cuclipTrainTargets)  # apart: it needs packages that the others do without
install(TARGETS cuclip RUNTIME)

# Headers are for users unless they are listed here, as regular expressions of their paths without ".h". What
# a user's header includes is a user's too: the consumer test compiles them where the private ones are not.
set(cuclip_private_headers
    # how one device computes an operation, and what its files share
    kernels/.*_cpu kernels/.*_cuda kernels/.*-inl "kernels/tiles/(one_dnn|row_slices|tile_product)"
    "kernels/common/(dispatch|host_device|scratch_plan|simd_targets|tuning)"
    kernels/adamw/adamw_control kernels/attention/attention_any
    "kernels/contrastive_loss/(contrastive_loss_tile|left_out_pairs)" kernels/patch_embed/pictures
    "kernels/conv2d/(conv2d_shape|convolution)"
    kernels/pointwise/gelu_tail "kernels/random/(philox|random_values)" kernels/similarity/similarity_rows
    # parts of the floors above
    core/ops/.* "core/(clock|counted)"
    "models/clip/position_resample" "models/inference/(checkpoint_folders|score_rows)"
    "models/files/(csv|folder_walk|gzip|names|passed_over|strict_json|text_file)"
    "models/image/(image_formats|resample_passes)"
    "models/text/(html_entities|mojibake|unicode|windows_1252|word_split)"
    "train/data/(caption_words|collections|drawing_captions|duplicates|input_file|permutation|prepared_picture|prepared_set)"
    "train/data/(font_collections|glyph_font|picture_names|word_pictures)"
    "train/data/(sample_store|shard_writer|synthetic_scene|tar_index)"
    "train/loop/(machine_peak|step_batches|train_settings)" train/cli/.*)
file(GLOB_RECURSE headers RELATIVE ${PROJECT_SOURCE_DIR} CONFIGURE_DEPENDS
     ${PROJECT_SOURCE_DIR}/kernels/*.h ${PROJECT_SOURCE_DIR}/core/*.h ${PROJECT_SOURCE_DIR}/models/*.h
     ${PROJECT_SOURCE_DIR}/train/*.h)
foreach(private ${cuclip_private_headers})
  set(others ${headers})
  list(FILTER others EXCLUDE REGEX "^${private}\\.h$")
  if(others STREQUAL headers)
    message(FATAL_ERROR "cmake/install.cmake: there is no header ${private}.h to be private")
  endif()
  set(headers ${others})
endforeach()
foreach(header ${headers})
  cmake_path(GET header PARENT_PATH folder)
  install(FILES ${PROJECT_SOURCE_DIR}/${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/cuclip/${folder})
endforeach()

set(cuclip_package ${CMAKE_INSTALL_LIBDIR}/cmake/cuclip)
install(EXPORT cuclipTargets NAMESPACE cuclip:: DESTINATION ${cuclip_package})
install(EXPORT cuclipTrainTargets NAMESPACE cuclip:: DESTINATION ${cuclip_package})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/cuclipConfig.cmake.in
                              ${PROJECT_BINARY_DIR}/cuclipConfig.cmake INSTALL_DESTINATION ${cuclip_package})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/cuclipConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/cuclipConfig.cmake ${PROJECT_BINARY_DIR}/cuclipConfigVersion.cmake
              ${PROJECT_SOURCE_DIR}/cmake/cuda_toolkit.cmake
        DESTINATION ${cuclip_package})
